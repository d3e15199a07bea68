"""Says what a rehearsal can find of a line, and how bad that is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from service.commands.publish.records import RefusedLine
from service.domain.events import MalformedCode
from service.domain.fields import Complaint
from service.domain.foreseeing import Foreseen
from service.domain.outcomes import Failed

VALIDATION = "VALIDATION_FAILED"


class Level(IntEnum):
    """How bad a finding is; the worst one counts for its line."""

    GOOD = 0
    """The item will be as it was sent."""
    NOTE = 1
    """Imported; something to know."""
    LOSS = 2
    """Imported, and the portal keeps less than was sent, or a second item may be made."""
    MAY_FAIL = 3
    """Whether the portal takes it shows only when it is asked to import."""
    UNJUDGED = 4
    """Nobody could be asked."""
    FAIL = 5
    """It will not be imported."""


WORDS = {
    Level.NOTE: "note",
    Level.LOSS: "loss",
    Level.MAY_FAIL: "may fail",
    Level.UNJUDGED: "not judged",
    Level.FAIL: "would fail",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: its code, what happens to which field, what to do.

    `code` of what would fail is the one that its result will have. `alike`: findings with the same
    word stand together in the table, the first for all; without one, those with the same text but
    for its numbers.
    """

    level: Level
    code: str
    text: str
    remedy: str = ""
    alike: str = ""

    def __str__(self) -> str:
        """Return it as one sentence."""
        return ": ".join(each for each in (self.code, self.text, self.remedy) if each)


def worst(findings: Iterable[Finding]) -> Level:
    """Return what counts for a line."""
    return max((each.level for each in findings), default=Level.GOOD)


def of_refused(refused: RefusedLine) -> Finding:
    """Return the finding of what is no item event."""
    code, parted, text = refused.reason.partition(": ")
    if not parted or code not in MalformedCode.__members__:
        return Finding(Level.FAIL, "", refused.reason)
    return Finding(Level.FAIL, code, text)


def of_complaint(complaint: Complaint, *, rejects: bool) -> Finding:
    """Return the finding of a value that the portal would lose; `rejects`: so says VALIDATION."""
    text, _, remedy = str(complaint).partition(": ")
    if rejects:
        return Finding(Level.FAIL, VALIDATION, text, remedy)
    return Finding(Level.LOSS, "", text, remedy)


def of_foreseen(foreseen: Foreseen) -> Finding:
    """Return the finding of what the portal will refuse, or may."""
    level = Level.FAIL if foreseen.sure else Level.MAY_FAIL
    return Finding(level, foreseen.code, f"{foreseen.field} {foreseen.text}", foreseen.remedy)


def of_failed(failed: Failed, alike: str) -> Finding:
    """Return the finding of what the importer itself refuses."""
    return Finding(Level.FAIL, failed.code, failed.message, alike=alike)


def of_warning(warning: str) -> Finding:
    """Return the finding of what is likely not meant so."""
    text, _, remedy = warning.partition(": ")
    return Finding(Level.NOTE, "", text, remedy)
