"""Tells when the alerts on the service levels fire, resolve, and keep silent."""

from tests.deploy.rules.series import (
    ALL,
    AWAY,
    CLOCK,
    ERRORS,
    FAILED,
    IMPORTED,
    LIMIT,
    QUEUES,
    QUICK,
    READY,
    RESET,
    SHARE,
    UPSTREAMS,
    USED,
)
from tests.deploy.rules.stories import Story

STORIES = (
    Story(
        alert="ImporterErrorBudgetFastBurn",
        severity="page",
        series={IMPORTED: "0+80x150", FAILED: "0+20x30 600x120", ERRORS: "0+20x30 600x120"},
        waits="2m",
        fires="10m",
        value="20%",
        resolves="75m",
        silent={
            "upstream's own mistakes spend nothing": {ERRORS: "", UPSTREAMS: "0+20x150"},
            "a handful of failures is no trend": {
                IMPORTED: "0+1x150",
                FAILED: "0+1x12 12x138",
                ERRORS: "0+1x12 12x138",
            },
            "as many as the objective allows": {
                IMPORTED: "0+990x150",
                FAILED: "0+10x150",
                ERRORS: "0+10x150",
            },
        },
    ),
    Story(
        alert="ImporterErrorBudgetSlowBurn",
        severity="ticket",
        step="5m",
        series={IMPORTED: "0+490x120", FAILED: "0+10x48 480x72", ERRORS: "0+10x48 480x72"},
        waits="50m",
        fires="4h",
        value="2%",
        resolves="9h",
        silent={
            "within the allowance": {
                IMPORTED: "0+498x120",
                FAILED: "0+2x120",
                ERRORS: "0+2x120",
            },
            "upstream's own mistakes spend nothing": {ERRORS: "", UPSTREAMS: "0+10x120"},
        },
    ),
    Story(
        alert="ImporterFreshnessBurn",
        severity="ticket",
        series={
            QUICK: "0+50x60 3000+100x60",
            ALL: "0+100x121",
            SHARE: "1x121",
            AWAY: "0x121",
            READY: "10x121",
            QUEUES: "1x121",
        },
        waits="10m",
        fires="30m",
        value="50%",
        resolves="95m",
        silent={
            "the portal was away": {AWAY: "0+20x121"},
            "the portal throttles": {SHARE: "0.5x121"},
            "the portal's budget is spent": {
                USED: "410x121",
                LIMIT: "420x121",
                RESET: "99999x121",
                CLOCK: "50000+60x121",
            },
            "few are slow": {QUICK: "0+90x121"},
            "hardly anything comes": {QUICK: "0x121", ALL: "0+0.2x121"},
            "a planned import whose backlog shrinks": {READY: "50000-100x121"},
        },
    ),
    Story(
        alert="ImporterFreshnessSlowBurn",
        severity="ticket",
        step="30m",
        series={
            QUICK: "0+2250x96 216000+3000x200",
            ALL: "0+3000x297",
            SHARE: "1x297",
            AWAY: "0x297",
        },
        waits="45m",
        fires="36h",
        value="25%",
        resolves="130h",
        silent={
            "as many as the objective allows": {QUICK: "0+2850x297"},
            "the portal was away for hours": {AWAY: "0+300x297"},
            "the portal throttles": {SHARE: "0.5x297"},
        },
    ),
)
