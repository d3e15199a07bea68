"""Draws the final table, so that a person understands it in ten seconds."""

from itertools import zip_longest

from rich import box
from rich.console import Group
from rich.table import Table

from tests.demo.figures import Figures, Row
from tests.demo.samples import NAMES, Fate

FATES: tuple[Fate, ...] = ("imported", "refused", "malformed")
STYLES = {"imported": "green", "refused": "yellow", "malformed": "magenta"}
MAX_REASONS = 8


def draw(figures: Figures) -> Group:
    """Return the whole of it."""
    return Group(_by_type(figures), _facts(figures))


def _by_type(figures: Figures) -> Table:
    table = Table(box=box.SIMPLE, show_footer=True, pad_edge=False, width=78)
    rows = sorted(figures.rows, key=lambda row: list(NAMES).index(row.entity_type))
    published = sum(row.published for row in rows)
    table.add_column("  entity type", footer="  all", no_wrap=True)
    table.add_column("published", footer=str(published), justify="right")
    for fate in FATES:
        everything = sum(row.by_fate.get(fate, 0) for row in rows)
        table.add_column(fate, footer=str(everything), justify="right", style=STYLES[fate])
    for row in rows:
        counts = [str(row.by_fate.get(fate) or "-") for fate in FATES]
        table.add_row(_name(row), str(row.published), *counts)
    return table


def _name(row: Row) -> str:
    name = NAMES[row.entity_type]
    return f"  {name}" + (f" ({row.entity_type})" if row.entity_type else "")


def _facts(figures: Figures) -> Table:
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    events = sum(row.by_fate.get("imported", 0) for row in figures.rows)
    once = "green" if figures.doubled == figures.lost == 0 else "bold red"
    table.add_row(
        "CRM",
        f"[{once}]{figures.items} items for {events} imported events: "
        f"{figures.doubled} doubled, {figures.lost} lost[/]",
    )
    calls = "cut call" if figures.cut == 1 else "cut calls"
    table.add_row(
        "",
        f"{figures.cut} {calls} had saved {figures.saved_by_cut} items: "
        f"{figures.found_again} found again by asking",
    )
    table.add_row(
        "", f"{figures.repeats} event was published twice: recognised, not imported again"
    )
    table.add_row(
        "Calls",
        f"{figures.imports} imports, {figures.look_ups} look-ups; "
        f"{figures.limited} refused by the portal's rate limit",
    )
    letters = sum(count for _, count in figures.reasons)
    table.add_row(
        "",
        "look-ups ask for what may be there already: the first messages after a start, and "
        "what the cut call carried",
    )
    table.add_row(
        "Dead letters",
        f"{letters} in crm.items.dlq, the originals of all that failed (refused or malformed):",
    )
    table.add_row("", _reasons(figures))
    return table


def _reasons(figures: Figures) -> Table:
    """Return the most frequent reasons, in two columns."""
    most = [f"{count:3}  {code}" for code, count in figures.reasons[:MAX_REASONS]]
    rest = sum(count for _, count in figures.reasons[MAX_REASONS:])
    if rest:
        most.append(f"{rest:3}  other")
    middle = (len(most) + 1) // 2
    table = Table.grid(padding=(0, 2))
    for left, right in zip_longest(most[:middle], most[middle:], fillvalue=""):
        table.add_row(left, right)
    return table
