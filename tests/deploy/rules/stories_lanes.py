"""Tells when the alerts on pauses, lanes and what waits fire, resolve, and keep silent."""

from tests.deploy.rules.series import (
    AWAY,
    CLOCK,
    SHUT,
    SHUT_OTHER,
    UNAVAILABLE,
    mine,
    queue,
)
from tests.deploy.rules.stories import Story

LANE = {"job": "importer", "lane": "128"}
CLOSED = mine("importer_lane_closed", entity_type="128", reason="scope")
CLOSED_OFTEN = mine("importer_lane_closed", entity_type="128", reason="failure_share")
LANE_SHUT = mine("importer_paused_seconds_total", reason="scope", lane="128")
OTHER_SHUT = mine("importer_paused_seconds_total", reason="plan", lane="31")
LANE_BRAKED = mine("importer_paused_seconds_total", reason="failure_share", lane="128")
OLDEST = mine("importer_oldest_parked_seconds", entity_type="128")
OLDEST_ALL = mine("importer_oldest_parked_seconds", entity_type="all")
TIMED_OUT = mine("importer_links_total", result="timed_out")
LOOKED_UP = mine("importer_links_total", result="looked_up")
LINKS_WAITING = mine("importer_links_waiting")
WRITTEN = mine("importer_memory_written_timestamp_seconds")
CALLS = mine("importer_requests_total", method="import", result="ok")
REMEMBERS = mine("importer_config_info", memory_queue="crm.items.memory")
FORGETS = mine("importer_config_info", memory_queue="")
PARKS = mine("importer_config_info", vhost="/", parked_queue="crm.items.parked")
PARKED, PARKED_TOO = queue("crm.items.parked.128"), queue("crm.items.parked.31")
PARKED_LINKS, DOUBTFUL = queue("crm.items.parked.links"), queue("crm.items.parked.doubtful")
ONE_IN_THREE = (
    "0 60 60 60 120 120 120 180 180 180 240 240 240 300 300 300 360 360 360 420"
    " 420 420 480 480 480 540 540 540 600 600 600 660 660 660 720 720 720 780 780 780"
    " 840 840 840 900 900 900 960 960 960 1020 1020 1020 1080 1080 1080 1140 1140"
    " 1140 1200 1200 1200x100"
)
"""Shut for one minute of three, for an hour."""

SHARES = (
    Story(
        alert="ImporterPausedShare",
        severity="page",
        series={SHUT: "0x5 0+20x40 800x90", SHUT_OTHER: "0x5 0+20x40 800x90"},
        labels={"job": "importer", "lane": "all"},
        waits="22m",
        fires="30m",
        value="66.67%",
        resolves="53m",
        silent={
            "a pause of five minutes": {SHUT: "0x5 0+60x5 300x125", SHUT_OTHER: "0x135"},
            "a tenth of the time": {SHUT: "0+6x135", SHUT_OTHER: "0x135"},
            "a pause of ten minutes, mended": {SHUT: "0x15 0+60x10 600x110", SHUT_OTHER: "0x135"},
        },
    ),
    Story(
        alert="ImporterPausedShare",
        severity="page",
        series={
            LANE_SHUT: "0x5 0+40x60 2400x70",
            OTHER_SHUT: "0x135",
            CLOSED: "0x5 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 0x97",
        },
        labels=LANE,
        waits="20m",
        fires="30m",
        value="66.67%",
        resolves="80m",
        silent={
            "it stays closed, which is told by another alert": {CLOSED: "1x135"},
            "one lane a third of the time and another one": {
                LANE_SHUT: "0+15x135",
                OTHER_SHUT: "0+15x135",
            },
        },
    ),
    Story(
        alert="ImporterPausedShare",
        severity="ticket",
        series={AWAY: ONE_IN_THREE},
        labels={"job": "importer", "lane": "all"},
        waits="48m",
        fires="59m",
        value="33.33%",
        resolves="75m",
        silent={"one minute in ten": {AWAY: "0+6x160"}},
    ),
    Story(
        alert="ImporterPausedShare",
        severity="ticket",
        series={LANE_BRAKED: ONE_IN_THREE},
        labels=LANE,
        waits="48m",
        fires="59m",
        value="33.33%",
        resolves="75m",
        silent={"one minute in ten": {LANE_BRAKED: "0+6x160"}},
    ),
)
LANES = (
    Story(
        alert="ImporterLaneClosed",
        severity="page",
        series={CLOSED: "0x5 1x25 0x20"},
        labels={**LANE, "reason": "scope"},
        waits="19m",
        fires="22m",
        resolves="33m",
        silent={
            "open again within ten minutes": {CLOSED: "0x5 1x10 0x35"},
        },
    ),
    Story(
        alert="ImporterLaneClosed",
        severity="ticket",
        series={CLOSED_OFTEN: "0x5 1x25 0x20"},
        labels={**LANE, "reason": "failure_share"},
        waits="19m",
        fires="22m",
        resolves="33m",
        silent={
            "open again within ten minutes": {CLOSED_OFTEN: "0x5 1x10 0x35"},
        },
    ),
    Story(
        alert="ImporterParkedTooLong",
        severity="ticket",
        step="5m",
        series={OLDEST: "0+300x80 0x20"},
        labels=LANE,
        waits="6h05m",
        fires="6h20m",
        value="6h 20m 0s",
        resolves="7h",
        silent={
            "it is empty now and then": {OLDEST: "0+300x60 0 0+300x39"},
            "younger": {OLDEST: "20000x100"},
            "links wait for an hour": {OLDEST: "", OLDEST_ALL: "0+300x12 3600x88"},
        },
    ),
    Story(
        alert="ImporterLinksTimedOut",
        severity="ticket",
        series={TIMED_OUT: "0x5 3x90", LOOKED_UP: "0x95"},
        fires="10m",
        value="3",
        resolves="75m",
        silent={"what is found": {TIMED_OUT: "0x95", LOOKED_UP: "0+3x95"}},
    ),
    Story(
        alert="ImporterMemoryUnwritten",
        severity="ticket",
        series={
            CLOCK: "100000+60x130",
            WRITTEN: "100000x90 105400+60x40",
            CALLS: "0+10x130",
            REMEMBERS: "1x130",
        },
        waits="65m",
        fires="80m",
        resolves="95m",
        silent={
            "nothing is sent": {CALLS: "0x130"},
            "it is noted": {WRITTEN: "100000+60x130"},
            "it is switched off": {REMEMBERS: "", FORGETS: "1x130"},
        },
    ),
)
STUCK = (
    Story(
        alert="ImporterParkedStuck",
        severity="ticket",
        series={
            PARKS: "1x100",
            PARKED: "7x60 0x40",
            PARKED_TOO: "5x60 0x40",
            PARKED_LINKS: "0x100",
            DOUBTFUL: "3x100",
            CLOSED: "0x100",
            LINKS_WAITING: "0x100",
            UNAVAILABLE: "0x100",
        },
        waits="12m",
        fires="40m",
        value="12",
        resolves="65m",
        silent={
            "a lane is closed": {CLOSED: "1x100"},
            "it is paused": {UNAVAILABLE: "1x100"},
            "it is being read": {PARKED: "9000-50x100"},
            "nothing is parked": {PARKED: "0x100", PARKED_TOO: "0x100"},
        },
    ),
    Story(
        alert="ImporterParkedStuck",
        severity="ticket",
        series={PARKS: "1x100", PARKED_LINKS: "7x60 0x40", LINKS_WAITING: "0x100"},
        waits="12m",
        fires="40m",
        value="7",
        resolves="65m",
        silent={
            "the importer knows that they wait": {LINKS_WAITING: "7x100"},
            "another importer's queues": {PARKS: ""},
        },
    ),
)
STORIES = (*SHARES, *LANES, *STUCK)
