"""Proves that the pages say what the code does; run as a program, writes the tables anew.

`python -m tests.unit.test_docs` replaces what stands between the marks in the pages of deploy/.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import __version__, factories
from service.bitrix import errors
from service.commands.cli import main
from service.commands.dlq import advice
from service.domain import codes
from service.domain.delivery import Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.external_id import ExternalIds
from service.domain.outcomes import CallKind, Imported, PauseReason, RefusalKind
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.encoding import Encoder
from service.rabbit.memory_state import MemoryState
from service.settings import reference
from service.settings.environment import known_names
from service.settings.tree import PREFIX, Settings
from service.telemetry import catalogue
from service.telemetry import metrics as telemetry
from tests.demo import samples
from tests.fakes import FakeDelivery

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "deploy/install.md"
OPERATE = ROOT / "deploy/operate.md"
REFERENCE = ROOT / "deploy/reference.md"
UPSTREAM = ROOT / "deploy/upstream.md"
FOLDERS = (".github", "deploy", "service", "tests")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/**/*.md"))]
)
ADRS = sorted((ROOT / "service/adr").glob("[0-9]*.md"))
README_LINES = 150
ADR_LINES = 40
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
CODE = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"(?<![\w.])(?:IMPORTER_)?([A-Z]+__[A-Z]+(?:_[A-Z]+)*)(?![\w…])")
WORDS = re.compile(r"[`\"]([a-z]+(?: [a-z]+)+)[`\"]")
MADE_OF_A_STATE = f"memory {MemoryState.UNAVAILABLE}"
MODULE = re.compile(r"^(?:service/)?((?:\w+/)*\w+\.py|(?:\w+/)+)$")


# ---- the tables, made from the objects themselves ----


def metrics_table() -> str:
    """Return every metric with its kind, labels, meaning, and what to do when it moves."""
    kinds = {metric.name: metric.type for metric in telemetry.Metrics().registry.collect()}
    rows = [("metric", "type", "labels", "meaning", "when it moves")]
    for each in catalogue.ALL:
        name = telemetry.PREFIX + each.name
        labels = ", ".join(f"`{label}`" for label in each.labels) or "none"
        kind = kinds[name.removesuffix("_total")]
        rows.append((f"`{name}`", kind, labels, each.meaning, each.advice))
    return _table(rows)


def errors_table() -> str:
    """Return what every code of the portal means, as a whole-call error and for one item."""
    rows = [("code", "whole call", "one item", "what follows")]
    for code in sorted(codes.CALL_CODES.keys() | codes.ITEM_CODES.keys()):
        kind, pause = codes.CALL_CODES.get(code, (CallKind.AMBIGUOUS, None))
        refusal_kind = codes.ITEM_CODES.get(code, RefusalKind.REFUSED_UNCLEAR)
        named = code in codes.CALL_CODES
        follows = FOLLOWS[kind] + (f" (`{pause}`)" if pause else "") if named else ""
        cell = str(refusal_kind) if code in codes.ITEM_CODES else ""
        rows.append((f"`{code}`", str(kind) if named else "", cell, follows))
    for status, kind in errors.STATUSES.items():
        rows.append((f"HTTP {status} without a code", str(kind), "", FOLLOWS[kind]))
    rows.append(
        (
            "any other, or no answer",
            str(CallKind.AMBIGUOUS),
            "refused_unclear",
            FOLLOWS[CallKind.AMBIGUOUS],
        )
    )
    return _table(rows)


FOLLOWS = {
    CallKind.THROTTLED: "sent again later, more slowly",
    CallKind.OVER_BUDGET: "sent again when the budget has room",
    CallKind.UNAVAILABLE: "sent again later; a pause if it lasts",
    CallKind.BARRED: "pause",
    CallKind.SUSPECT: "split down to one item; it fails if others pass, else its lane closes",
    CallKind.UNSUPPORTED: "the events fail as `unsupported`",
    CallKind.TOO_LARGE: "split in halves",
    CallKind.AMBIGUOUS: "looked up; absent items are sent again",
}


def codes_table() -> str:
    """Return what every code of a failed event means, who must act, and what to do."""
    rows = [("code", "means", "who must act", "what to do")]
    for code, advised in sorted(advice.CODES.items()):
        rows.append((f"`{code.upper()}`", advised.meaning, advised.who, advised.action))
    return _table(rows)


TABLES: Mapping[str, tuple[Path, Callable[[], str]]] = {
    "settings": (REFERENCE, lambda: reference.write("markdown")),
    "metrics": (REFERENCE, metrics_table),
    "errors": (REFERENCE, errors_table),
    "codes": (UPSTREAM, codes_table),
}


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in lines
    )


def _between_marks(page: str, name: str) -> tuple[int, int]:
    """Return where a table starts and ends in its page."""
    opening, closing = f"<!-- {name}: made from the code -->\n", f"\n<!-- end of {name} -->"
    start = page.index(opening) + len(opening)
    return start, page.index(closing, start)


def write() -> None:
    """Replace the tables in their pages."""
    for name, (place, table) in TABLES.items():
        page = place.read_text()
        start, end = _between_marks(page, name)
        place.write_text(page[:start] + table() + page[end:])


# ---- the tests ----


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_code_says(name: str) -> None:
    """The tables are made anew by `python -m tests.unit.test_docs`."""
    place, table = TABLES[name]
    page = place.read_text()
    start, end = _between_marks(page, name)
    assert table() == page[start:end]


def test_every_setting_has_a_meaning() -> None:
    """No setting is listed without a word on what it does."""
    assert [] == [row.name for row in reference.rows() if not row.meaning]


def test_links_lead_somewhere() -> None:
    """Every relative link names a file, and every anchor a heading of it."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}{anchor}"
        for page in PAGES
        for target, anchor in LINK.findall(page.read_text())
        if not _exists(page, target, anchor)
    ]
    assert [] == broken


def test_settings_that_pages_name_exist() -> None:
    """A page that tells a reader to set something names a setting that there is."""
    known = {name.removeprefix(PREFIX).removesuffix("_FILE") for name in known_names()}
    unknown = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in SETTING.findall(page.read_text())
        if name.removesuffix("_FILE") not in known
    ]
    assert [] == unknown


def test_names_of_checks_stand_in_the_page() -> None:
    """Programs that read `check --json` rely on them."""
    sources = [each.read_text() for each in (ROOT / "service/commands/check").glob("*.py")]
    names = r'"((?:settings|broker|topology|queue|portal|inner|importer)\.[a-z_]+|certificate)"'
    made = {name for source in sources for name in re.findall(names, source)}
    (told,) = re.findall(r"^Names of checks: (.*)$", INSTALL.read_text(), re.MULTILINE)
    assert sorted(made) == sorted(CODE.findall(told))


def test_log_lines_that_pages_name_are_written() -> None:
    """Whoever searches the log for the words of a page finds them."""
    sources = "\n".join(each.read_text() for each in ROOT.glob("service/**/*.py"))
    named = {
        words
        for page in (ROOT / "README.md", *ROOT.glob("deploy/**/*.md"))
        for line in page.read_text().splitlines()
        if re.search(r"\blog(s|ged)?\b", line)
        for words in WORDS.findall(line)
    }
    assert "lane closed" in named
    assert set() == {each for each in named - {MADE_OF_A_STATE} if each not in sources}


def test_defaults_in_the_readme_are_the_defaults() -> None:
    """The settings that the README repeats have the defaults of the full table."""
    every = {row.name.removeprefix(PREFIX): row.default or "none" for row in reference.rows()}
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", readme, re.MULTILINE)
    assert 8 == len(shown)
    assert [(name, every[name]) for name, _ in shown] == shown


@pytest.mark.parametrize("page", ["README.md", *(p.name for p in ADRS)])
def test_modules_that_pages_name_exist(page: str) -> None:
    """The map of the code names files that there are."""
    found = ROOT / "service" / ("adr" if page[0].isdigit() else "") / page
    named = {match[1] for text in CODE.findall(found.read_text()) if (match := MODULE.match(text))}
    assert [] == sorted(name for name in named if not (ROOT / "service" / name).exists())


def test_every_module_stands_in_the_map() -> None:
    """Whoever adds a module of the service says in its README what it is for."""
    text = (ROOT / "service/README.md").read_text()
    modules = [
        path.relative_to(ROOT / "service").as_posix()
        for path in (ROOT / "service").rglob("*.py")
        if not path.name.startswith("__")
    ]
    named = [name for name in modules if name in text or name.startswith("telemetry/")]
    assert sorted(named) == sorted(modules)


def test_the_event_in_the_readme_is_one() -> None:
    """Whoever copies the example gets an item event, not a dead letter."""
    event = _example_event()
    assert isinstance(event, ItemEvent)
    assert (2, "order-1017") == event.identity


def test_the_result_in_the_readme_is_what_we_write() -> None:
    """The example has the members that a result has, in their order, and its fixed values."""
    shown = _examples()[1]
    event = _example_event()
    imported = Imported(shown["data"]["itemId"])
    settlement = Settlement(event, FakeDelivery(event), imported, 1, "9b1f")
    topology = factories.topology(Settings().rabbit)
    writer = Encoder(topology, portal_host="portal.bitrix24.com")
    message = writer.result(settlement, datetime(2026, 3, 1, 12, 0, 3, 120_000, tzinfo=UTC))
    written = json.loads(message.body)
    made_up = {"id", "data"}
    assert list(written) == list(shown)
    assert list(written["data"]) == list(shown["data"])
    assert {n: v for n, v in written.items() if n not in made_up} == {
        n: v for n, v in shown.items() if n not in made_up
    }


def test_every_reason_of_a_pause_says_what_to_do() -> None:
    """An operator who reads a reason finds it in the table."""
    assert [] == [reason for reason in PauseReason if f"`{reason}`" not in OPERATE.read_text()]


def test_the_demo_is_as_large_as_the_readme_says() -> None:
    """Enough events of several types, some refused, some malformed."""
    made = samples.make()
    fates = Counter(sample.fate for sample in made)
    assert f"# {len(made)} events on real parts" in (ROOT / "README.md").read_text()
    assert (500, 10, 10) <= (fates["imported"], fates["refused"], fates["malformed"])
    assert len(made) == len({sample.key for sample in made})


def test_the_readme_is_short() -> None:
    """One screen for each question."""
    assert README_LINES >= len((ROOT / "README.md").read_text().splitlines())


def test_decisions_are_numbered_listed_and_short() -> None:
    """Every page of service/adr is in its list, in order, without a gap."""
    folder = ROOT / "service/adr"
    pages = sorted(page for page in folder.glob("[0-9]*.md"))
    assert [f"{number:04d}" for number in range(1, len(pages) + 1)] == [p.name[:4] for p in pages]
    listed = re.findall(r"\]\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text())
    assert [page.name for page in pages] == listed
    assert [] == [page.name for page in pages if ADR_LINES < len(page.read_text().splitlines())]


def test_the_changelog_lists_the_newest_first_and_links_every_version() -> None:
    """Keep a Changelog: what is unreleased, then each release with its day and its link."""
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, *releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert "[Unreleased]" == unreleased
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", each) for each in releases]
    assert all(dated), releases
    versions = [each[1] for each in dated if each]
    days = [each[2] for each in dated if each]
    numbers = [[*map(int, each.split("."))] for each in (__version__.split(".dev")[0], *versions)]
    assert numbers == sorted(numbers, reverse=True)
    assert days == sorted(days, reverse=True)
    linked = re.findall(r"^\[(\S+)\]: https://\S+$", text, re.MULTILINE)
    assert ["Unreleased", *versions] == linked


def test_commands_that_the_readme_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """What `make` targets and commands the pages show is really there."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        name
        for page in PAGES
        for name in re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
    }
    assert set() == shown - targets
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"crm-importer {__version__}\n" == capsys.readouterr().out


def _examples() -> list[Any]:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [json.loads(block) for block in blocks]


def _example_event() -> ItemEvent | Malformed:
    decoder = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)
    return decoder.decode(Incoming(json.dumps(_examples()[0]).encode(), {}))


def _exists(page: Path, target: str, anchor: str) -> bool:
    found = page.parent / target if target else page
    if not found.exists():
        return False
    return not anchor or anchor[1:] in _anchors(found.read_text())


def _anchors(text: str) -> set[str]:
    """Return the anchors that a forge makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    write()
    pages = sorted({str(place.relative_to(ROOT)) for place, _ in TABLES.values()})
    sys.stdout.write(f"written: {', '.join(pages)}\n")
