"""Reads and adds to the files of what is kept: JSON Lines. What was changed in them: README.md."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


def load(path: Path) -> list[Line]:
    """Read what is kept; nothing where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add(line: Line, path: Path) -> None:
    """Keep one more."""
    with path.open("a") as file:
        file.write(written(line))


def written(line: Line) -> str:
    """Return a line as it stands in the file."""
    return json.dumps(line, separators=(",", ":")) + "\n"
