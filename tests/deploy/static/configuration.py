"""Judges the settings that a pod is given: each policy yields its faults, a line each."""

from collections.abc import Iterator

from service.commands.check.arithmetic import settings_rows
from service.commands.check.rows import RowStatus
from service.settings.environment import SettingsInvalid
from tests.deploy.static.environment import settings, variables
from tests.deploy.static.manifests import Rendered
from tests.deploy.static.pods import named_ports

FLUSH_SECONDS = 15
"""What the end of a process needs after its drain: confirms, acknowledgements, connections."""


def settings_are_accepted(rendered: Rendered) -> Iterator[str]:
    """Judge whether the service would start: names known, values sound, nothing missing."""
    try:
        settings(rendered)
    except SettingsInvalid as invalid:
        yield from invalid.mistakes


def neighbours_are_named(rendered: Rendered) -> Iterator[str]:
    """Judge whether broker and portal are given: a default of one's own machine will not do."""
    given = {name.removesuffix("_FILE") for name, _ in variables(rendered)}
    needed = {"IMPORTER_RABBIT__URL", "IMPORTER_BITRIX__WEBHOOK_URL"}
    yield from (f"{name} is not given" for name in sorted(needed - given))


def the_drain_ends_before_the_kill(rendered: Rendered) -> Iterator[str]:
    """Judge whether grace exceeds the drain's deadline, and that the longest call."""
    grace = rendered.pod.get("terminationGracePeriodSeconds", 30)
    given = settings(rendered)
    if grace < given.shutdown.deadline_seconds + FLUSH_SECONDS:
        yield f"grace {grace}, deadline {given.shutdown.deadline_seconds}"
    if given.shutdown.deadline_seconds <= given.bitrix.timeout_seconds:
        yield "the deadline ends before the longest call"


def the_worst_fits_into_memory(rendered: Rendered) -> Iterator[str]:
    """Judge whether the pod's limit holds the most that its settings admit, by `check`'s sums."""
    limit = rendered.container["resources"]["limits"]["memory"]
    size = int(limit.removesuffix("Mi")) * 2**20
    yield from (
        f"{row.check}: {row.found}"
        for row in settings_rows(settings(rendered), size)
        if row.status is not RowStatus.OK
    )


def the_port_is_the_one_listened_on(rendered: Rendered) -> Iterator[str]:
    """Judge whether the port named http is the one that the settings open, to everybody."""
    given = settings(rendered).http
    if named_ports(rendered.pod).get("http") != given.port or given.host != "0.0.0.0":  # noqa: S104 - a pod's
        yield f"listens on {given.host}:{given.port}"


def whoever_owns_the_topology_is_alone(rendered: Rendered) -> Iterator[str]:
    """Judge whether the importer declares nothing where an operator does."""
    expected = "check" if rendered.all("Queue") else "declare"
    found = settings(rendered).rabbit.topology
    if found != expected:
        yield f"topology: {found}"
