"""Memory: the limit of the container, or 0; never a failure."""

from pathlib import Path

import pytest

from service.telemetry.memory import memory_limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("201326592\n", 201_326_592),
        ("max\n", 0),
        ("9223372036854771712\n", 0),
        ("", 0),
    ],
)
def test_limit_is_what_the_control_group_says(tmp_path: Path, text: str, expected: int) -> None:
    """Read a number; `max`, or more than any memory, is no limit."""
    (tmp_path / "limit").write_text(text)
    assert expected == memory_limit((tmp_path / "missing", tmp_path / "limit"))


def test_no_control_group_is_no_limit(tmp_path: Path) -> None:
    """Start on machines without control groups too."""
    assert 0 == memory_limit((tmp_path / "missing",))
