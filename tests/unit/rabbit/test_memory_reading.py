"""Proves from where the memory is read, so that nothing is missed."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from service.rabbit.memory_reading import Reading, read_whole


@dataclass
class Read:
    """What one reading has met."""

    met_page: bool
    page: int | None = None
    stopped: int = 0

    async def stop(self) -> None:
        self.stopped += 1


@dataclass
class Streams:
    """Makes readings, and notes from where each begins."""

    met_page: bool
    begun: list[int | None] = field(default_factory=list)
    made: list[Read] = field(default_factory=list)

    async def read_from(self, page: int | None) -> Reading:
        self.begun.append(page)
        self.made.append(Read(self.met_page))
        return cast("Reading", self.made[-1])


@pytest.mark.parametrize(
    ("page", "met", "begun"),
    [(None, False, [None]), (7, True, [7]), (7, False, [7, None])],
    ids=("no page is named", "ours", "not ours"),
)
async def test_where_no_page_of_ours_stands_everything_is_read(
    page: int | None, begun: list[int | None], *, met: bool
) -> None:
    """The newest note may be another portal's, whose page tells nothing of ours."""
    streams = Streams(met)
    whole = await read_whole(page, streams.read_from)
    assert begun == streams.begun
    assert streams.made[-1] is cast("Read", whole)
    assert [1] * (len(begun) - 1) + [0] == [each.stopped for each in streams.made]
    if len(begun) > 1:
        # What it adds names the page that others look for.
        assert page == whole.page
