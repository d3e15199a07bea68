"""The table of a rehearsal: alike findings together, lines by the worst, all of it bounded."""

from service.commands.publish.records import Place, RefusedLine
from service.commands.publish.rehearsal import report
from service.commands.publish.rehearsal.tally import MAX_GROUPS, MAX_RANGES, SHOWN_EACH, Tally
from service.commands.publish.rehearsal.verdicts import Finding, Level, of_refused

LOSS = Finding(Level.LOSS, "", "opportunity is not a plain number, the portal keeps 1200", "send")
FAIL = Finding(Level.FAIL, "NOT_FOUND", "nobody has type 5")
NOTE = Finding(Level.NOTE, "", "is in the CRM already")


class Told:
    """Keeps what is told of lines."""

    def __init__(self) -> None:
        self.lines: list[int] = []

    def __call__(self, place: Place, finding: Finding) -> None:
        """Note the line."""
        assert finding.level >= Level.MAY_FAIL
        self.lines.append(place.first)


def test_findings_that_differ_in_numbers_only_are_one() -> None:
    """The first one stands for all, with its lines in ranges."""
    tally = Tally(Told())
    for line in (1, 2, 3, 7, 9, 10):
        text = LOSS.text.replace("1200", str(line))
        tally.line(Place.at(line), [Finding(Level.LOSS, "", text, "send")])
    (group,) = tally.groups()
    assert "6 lines: 1-3, 7, 9-10" == group.lines
    assert "keeps 1" in group.finding.text
    assert (True, "line 1") == (group.differs, group.first)


def test_findings_that_are_called_alike_are_one_whatever_they_name() -> None:
    """Such as ids, which differ from line to line."""
    tally = Tally(Told())
    for line, name in enumerate("abcdef", start=1):
        text = f"the id {name} stands already on line 1"
        tally.line(Place.at(line), [Finding(Level.NOTE, "", text, alike="repeated")])
    (group,) = tally.groups()
    assert ("6 lines: 1-6", "the id a stands already on line 1") == (
        group.lines,
        group.finding.text,
    )


def test_items_of_a_list_are_named_as_such_and_long_events_by_their_first_line() -> None:
    """As an editor, and as a reader of the list, would count."""
    tally = Tally(Told())
    tally.line(Place(4, 7, 1), [LOSS])
    tally.line(Place(8, 9, 2), [LOSS])
    tally.line(Place(1, 8), [NOTE])
    assert ["line 1", "2 items: 1-2"] == [each.lines for each in tally.groups()]
    assert [False, False] == [each.differs for each in tally.groups()]


def test_a_line_counts_once_by_its_worst_finding() -> None:
    """However much is found of it, and however late."""
    tally = Tally(Told())
    first = tally.line(Place.at(1), [LOSS, NOTE])
    second = tally.line(Place.at(2), [])
    tally.line(Place.at(3), [LOSS, FAIL])
    assert {Level.LOSS: 1, Level.GOOD: 1, Level.FAIL: 1} == tally.lines
    tally.late(Place.at(1), first, NOTE)
    tally.late(Place.at(2), second, NOTE)
    assert (1, 1, 0) == (tally.lines[Level.LOSS], tally.lines[Level.NOTE], tally.lines[Level.GOOD])
    tally.late(Place.at(2), second, FAIL)
    tally.late(Place.at(2), second, LOSS)
    assert (1, 0, 2) == (tally.lines[Level.LOSS], tally.lines[Level.NOTE], tally.lines[Level.FAIL])
    assert 3 == tally.lines.total()


def test_the_worst_is_shown_last() -> None:
    """Where a reader looks first."""
    tally = Tally(Told())
    tally.line(Place.at(1), [FAIL, NOTE, LOSS])
    assert [Level.NOTE, Level.LOSS, Level.FAIL] == [each.finding.level for each in tally.groups()]


def test_only_the_first_bad_lines_of_a_kind_are_told_one_by_one() -> None:
    """The others stand in the table."""
    told = Told()
    tally = Tally(told)
    for line in range(1, 1000):
        tally.line(Place.at(line), [FAIL, LOSS])
    assert list(range(1, SHOWN_EACH + 1)) == told.lines


def test_a_table_is_bounded() -> None:
    """A file in which every line is wrong in its own way, and one of which every second is."""
    tally = Tally(Told())
    for at in range(10_000):
        name = "".join(chr(97 + int(digit)) for digit in str(at))
        tally.line(Place.at(2 * at), [Finding(Level.LOSS, "", f"{name} is unknown"), FAIL])
    groups = list(tally.groups())
    assert MAX_GROUPS + 2 >= len(groups)
    assert 20_000 == sum(each.count for each in groups)
    assert all(len(each.ranges) <= MAX_RANGES for each in groups)
    assert groups[-1].lines.endswith(" …")


def test_a_reason_that_has_a_code_keeps_it() -> None:
    """The code is what the result would have; other reasons have none."""
    coded = of_refused(RefusedLine(Place.at(1), "WRONG_SHAPE: fields must be an object"))
    assert ("WRONG_SHAPE", "fields must be an object") == (coded.code, coded.text)
    plain = of_refused(RefusedLine(Place.at(1), "it has 5 cells: the header has 4"))
    assert ("", "it has 5 cells: the header has 4") == (plain.code, plain.text)


def test_durations_are_for_people() -> None:
    """One unit or two, never more digits than anybody knows."""
    told = {
        0.2: "1 second",
        59.4: "59 seconds",
        60: "1 minute",
        95: "1 minute 35 seconds",
        700: "12 minutes",
        3599: "60 minutes",
        4000: "1 hour 7 minutes",
        50_000: "14 hours",
        200_000: "2 days 8 hours",
        9_000_000: "104 days",
    }
    assert told == {seconds: report.duration(seconds) for seconds in told}
    assert "about 2 minutes" == report.span(120, 120.4)
    assert "between 1 minute and 2 minutes" == report.span(60, 120)
