"""Works out what the settings ask of the machine, and which promises they switch off."""

from collections.abc import Sequence
from pathlib import Path

from service.commands.check.rows import Row, fail, ok, warn
from service.settings.cautions import cautions
from service.settings.tree import Settings

SUBJECT = "settings"
MIB = 1 << 20
BASE_BYTES = 64 * MIB
"""Memory of the idle process: 54 MiB measured, rounded up."""
REMEMBERED_BYTES = 400
"""Memory of one remembered id of any length: 326 bytes measured, rounded up."""
NO_LIMIT = 1 << 60
"""Control groups of version 1 write "no limit" as a number near 2^63."""


def settings_rows(settings: Settings, memory: int | None) -> list[Row]:
    """Return what can be said without asking anybody; `memory`: the container's limit, bytes."""
    return [
        ok("settings.valid", SUBJECT, "all are known, and they fit together"),
        _hold(settings),
        _drain(settings),
        _memory(settings, memory),
        _once(settings),
        *_resend(settings),
    ]


def ignored_rows(names: Sequence[str]) -> list[Row]:
    """Warn of names that Kubernetes injects for a Service named like our prefix."""
    if not names:
        return []
    return [
        warn(
            "settings.ignored",
            SUBJECT,
            f"Kubernetes injects such names for a Service: {', '.join(names)}",
            "set enableServiceLinks: false in the pod, or give the Service another name",
        )
    ]


def caution_rows(settings: Settings) -> list[Row]:
    """Warn of what works and is dangerous all the same."""
    return [warn("settings.caution", *each) for each in cautions(settings)]


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the least memory limit of our control groups, in bytes; None where there is none."""
    found = [
        int(text)
        for path in _limit_files(root)
        if (text := _read(path)).isdecimal() and int(text) < NO_LIMIT
    ]
    return min(found, default=None)


def _hold(settings: Settings) -> Row:
    bitrix, hold = settings.bitrix, settings.rabbit.hold_seconds
    window = settings.batch.window_seconds
    longest = window + bitrix.timeout_seconds + bitrix.settle_seconds
    found = (
        f"window {window:g} + call {bitrix.timeout_seconds:g} + settle "
        f"{bitrix.settle_seconds:g} = {longest:g} s, less than the {hold:g} s a message is held"
    )
    return ok("settings.hold", SUBJECT, found)


def _drain(settings: Settings) -> Row:
    deadline = settings.shutdown.deadline_seconds
    call = settings.bitrix.timeout_seconds
    found = (
        f"a stop takes up to {deadline:g} s, enough for a call ({call:g} s): the pod's grace "
        f"period must be above {deadline + 10:g} s"
    )
    return ok("settings.drain", SUBJECT, found)


def _memory(settings: Settings, limit: int | None) -> Row:
    """Judge promise 13: what the process can ever hold, against what it may have."""
    check = "settings.memory"
    prefetch, largest = settings.prefetch, settings.rabbit.max_message_bytes
    flying = settings.batch.slots * settings.batch.max_bytes
    remembered = settings.claims.remember * REMEMBERED_BYTES
    most = BASE_BYTES + prefetch * largest + flying + remembered
    found = (
        f"at most {_mib(most)}: {_mib(BASE_BYTES)} + {prefetch} messages of {_mib(largest)} + "
        f"{settings.batch.slots} calls of {_mib(settings.batch.max_bytes)} + "
        f"{settings.claims.remember:,} remembered ids of {REMEMBERED_BYTES} B"
    )
    if limit is None:
        return ok(check, SUBJECT, f"{found}; no memory limit is set here")
    if limit < BASE_BYTES:
        return fail(
            check,
            SUBJECT,
            f"the memory limit is {_mib(limit)}, and the process alone takes {_mib(BASE_BYTES)}",
            f"raise the memory limit above {_mib(BASE_BYTES)}",
        )
    if most <= limit:
        return ok(check, SUBJECT, f"{found}; the limit is {_mib(limit)}")
    left = max(0, limit - BASE_BYTES - remembered)
    share = left // (prefetch + settings.batch.slots * settings.batch.max_items)
    return warn(
        check,
        SUBJECT,
        f"{found}; the limit is {_mib(limit)}, enough for messages of {share / 1000:,.0f} kB "
        f"when the prefetch is full",
        "if many messages are larger: lower IMPORTER_BATCH__PREFETCH or "
        f"IMPORTER_RABBIT__MAX_MESSAGE_BYTES, or raise the memory limit to {_mib(most)}",
    )


def _once(settings: Settings) -> Row:
    check = "settings.lookup"
    if settings.lookup != "never":
        return ok(
            check,
            SUBJECT,
            f"IMPORTER_LOOKUP={settings.lookup}: the portal is asked about doubtful items",
        )
    return warn(
        check,
        SUBJECT,
        "IMPORTER_LOOKUP=never: after a crash or a cut connection items can be imported twice",
        "leave IMPORTER_LOOKUP at `doubtful`, unless doubled items do no harm",
    )


def _resend(settings: Settings) -> list[Row]:
    if settings.ambiguous != "resend":
        return []
    return [
        warn(
            "settings.ambiguous",
            SUBJECT,
            "IMPORTER_AMBIGUOUS=resend: items of a type without external id can be imported twice",
            "name an external-id field for such types in IMPORTER_BITRIX__EXTERNAL_ID_FIELDS",
        )
    ]


def _limit_files(root: Path) -> list[Path]:
    """Return where limits of our group and the groups above it may stand, old and new way."""
    groups = root / "sys/fs/cgroup"
    files = [groups / "memory/memory.limit_in_bytes", groups / "memory.max"]
    for line in _read(root / "proc/self/cgroup").splitlines():
        own = groups / line.rpartition(":")[2].strip("/")
        above = [own, *own.parents]
        files += [
            group / "memory.max"
            for group in above
            if line.startswith("0::") and group.is_relative_to(groups)
        ]
    return files


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB" if size >= MIB else f"{size / 1024:,.0f} KiB"
