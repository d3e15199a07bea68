"""Proves what the command line understands, and that it names what it does not."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service.commands.arguments import parser

MOMENT = timedelta(seconds=10)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is said of a command line that is not understood."""
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert 2 == caught.value.code
    return capsys.readouterr().err.splitlines()[-1]


def test_filters_are_typed() -> None:
    """Ids repeat, types are numbers, times have a zone."""
    chosen = ["--id", "a", "--id", "b", "--type", "31", "--since", "2026-03-01"]
    options = parser().parse_args(
        ["dlq", "redrive", *chosen, "--set", "f=1=2", "--set", "g=", "--limit", "5"]
    )
    assert (["a", "b"], 31, 5) == (options.id, options.type, options.limit)
    assert datetime(2026, 3, 1, tzinfo=UTC) == options.since
    assert [("f", "1=2"), ("g", "")] == options.patch


@pytest.mark.parametrize(
    ("text", "age"),
    [("90s", timedelta(seconds=90)), ("2h", timedelta(hours=2)), ("1.5d", timedelta(hours=36))],
)
def test_an_age_counts_back_from_now(text: str, age: timedelta) -> None:
    """For `--since` and `--older-than` alike."""
    since = parser().parse_args(["dlq", "list", "--since", text]).since
    older = parser().parse_args(["dlq", "purge", "--older-than", text]).older_than
    for moment in (since, older):
        assert MOMENT > abs(datetime.now(UTC) - age - moment)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dlq", "purge", "--older-than", "-5d"],
        ["dlq", "purge", "--older-than", "5"],
        ["dlq", "purge", "--older-than", ""],
        ["dlq", "purge", "--older-than", "nand"],
        ["dlq", "list", "--since", "soon"],
        ["dlq", "list", "--type", "0"],
        ["dlq", "list", "--kind", "wrong"],
        ["dlq", "redrive", "--limit", "0"],
        ["dlq", "redrive", "--set", "novalue"],
        ["dlq", "redrive", "--set", "=value"],
        ["publish", "--entity-type", "x"],
        ["find", "id", "--type", "0"],
        ["lanes", "retry", "--type", "deals"],
    ],
)
def test_what_is_not_understood_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and the option is in the line."""
    assert f"argument {arguments[-2]}" in refusal(capsys, *arguments)


def test_dlq_alone_names_its_actions(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no default among them: one of them removes things."""
    assert "list,show,redrive,purge" in refusal(capsys, "dlq")


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish"],
        ["find"],
        ["dlq"],
        *(["dlq", each] for each in ("list", "show", "redrive", "purge")),
        ["lanes"],
        *(["lanes", each] for each in ("retry", "return", "fail")),
    ],
)
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, to standard output."""
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([*arguments, "--help"])
    assert 0 == caught.value.code
    assert capsys.readouterr().out.startswith(f"usage: crm-importer {' '.join(arguments)} ")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words stay whole; only what people copy is left as it is, and that fits 80 columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    texts = [each.format_help() for each in _every(parser())]
    assert len(texts) > 15
    lines = [line for text in texts for line in text.splitlines()]
    assert [] == [line for line in lines if len(line) > max(width, 80 if line[:2] == "  " else 0)]
    if width > 80:
        assert any(len(line) > 100 for line in lines)


def _every(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands."""
    yield top
    for action in top._actions:  # noqa: SLF001 - there is no other way to them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for each in action.choices.values():
                yield from _every(each)


@pytest.mark.parametrize("action", ["retry", "fail"])
def test_what_acts_on_one_lane_wants_its_type(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody means all of them."""
    assert "--type" in refusal(capsys, "lanes", action)


@pytest.mark.parametrize("event_id", ["", "\udcff"])
def test_an_event_id_is_text(event_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are no UTF-8 are in no event, and are not repeated raw."""
    assert "argument ID" in refusal(capsys, "find", event_id)
