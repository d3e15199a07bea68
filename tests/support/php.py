"""Asks the real PHP how it reads values: the oracle of what the portal keeps."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from tests.support import php_values

SCRIPT = Path(__file__).with_name("php.php")
RECORD = Path(__file__).with_name("php_answers.json")
INSTALLER = "tests/tools/php.sh"


@dataclass(frozen=True, slots=True)
class Answer:
    """What PHP makes of one JSON value; `day` is None where `strtotime` reads nothing."""

    double: str
    integer: int
    text: str
    day: str | None


def program() -> str:
    """Return the path of PHP; without it, skip here and fail in CI."""
    if found := shutil.which("php"):
        return found
    text = f"php is missing: {INSTALLER} installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def ask(documents: Iterable[str]) -> list[Answer]:
    """Return PHP's answer to each JSON text of a string or a number."""
    done = subprocess.run(
        [program(), "-n", str(SCRIPT)],
        input="\n".join(documents).encode(),
        capture_output=True,
        check=True,
    )
    return [Answer(*json.loads(line)) for line in done.stdout.splitlines()]


def recorded() -> list[tuple[str, Answer]]:
    """Return the recorded answers of PHP, each with the JSON text of its value."""
    rows = json.loads(RECORD.read_text())
    return [(document, Answer(*answer)) for document, *answer in rows]


def main() -> None:
    """Write the record anew."""
    documents = php_values.table()
    rows = [
        [document, *astuple(each)]
        for document, each in zip(documents, ask(documents), strict=True)
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    RECORD.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
