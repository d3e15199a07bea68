"""Reads the list of defects: small changes of the service, each with the check that sees it."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "defects"


@dataclass(frozen=True, slots=True)
class Defect:
    """One change of one file of the service.

    `area`: the file that lists it; `why`: what it would cost; `old` stands in `file` once, and
    `new` takes its place; `tests`: one of them must fail then; `histories`: or one of these
    simulated histories must break a promise, as arguments of `tests.tools.histories`.
    """

    area: str
    name: str
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()

    def made_in(self, source: str) -> str:
        """Return a file's text with the defect; raises ValueError where it does not fit."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"{self.file}: the text of “{self.name}” stands there {found} times")
        return source.replace(self.old, self.new)


def every() -> list[Defect]:
    """Return all defects that are listed, by area."""
    return [each for path in sorted(FOLDER.glob("*.toml")) for each in _listed(path)]


def _listed(path: Path) -> Iterator[Defect]:
    for name, told in tomllib.loads(path.read_text()).items():
        yield Defect(
            area=path.stem,
            name=name,
            why=told["why"],
            file=told["file"],
            old=told["old"],
            new=told["new"],
            tests=tuple(told.get("tests", ())),
            histories=tuple(told.get("histories", "").split()),
        )
