"""Tells people which lines are refused and which are odd, and counts them."""

import re
from dataclasses import dataclass

from service.commands import terminal
from service.commands.publish.records import Place

ONE_BY_ONE = 20
"""Lines with the same fault that are shown in full; of more, only the line numbers."""
NOWHERE = Place(0, 0)
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True, eq=False)
class Findings:
    """Writes to standard error, a line each."""

    refused: int = 0
    warned: int = 0
    _last: tuple[str, str] = ("", "")
    _alike: int = 0
    _untold: Place | None = None
    _until: Place = NOWHERE

    def refuse(self, place: Place, reason: str) -> None:
        """Tell what is refused, and why."""
        self.refused += 1
        if place.last > place.first and place.item is None:
            reason += f": lines {place.first} to {place.last} were not read"
        self._tell(place, "refused", reason)

    def warn(self, place: Place, warning: str) -> None:
        """Tell what is published and likely not meant so."""
        self._tell(place, "warning", warning)

    def note(self, text: str) -> None:
        """Tell something of the whole file."""
        self.flush()
        terminal.say(terminal.clean(f"warning: {text}"))

    def flush(self) -> None:
        """Tell what was held back."""
        if self._untold is None:
            return
        first, last, fate = self._untold, self._until, self._last[0]
        if first == last:
            terminal.say(f"{first} {fate}, as before")
        elif first.item is None:
            terminal.say(f"lines {first.first} to {last.last} {fate}, as before")
        else:
            terminal.say(f"items {first.item} to {last.item} of the list {fate}, as before")
        self._untold = None

    def _tell(self, place: Place, fate: str, reason: str) -> None:
        kind = (fate, _NUMBER.sub("", reason))
        is_like_before = kind == self._last
        if not is_like_before or not _follows(place, self._until):
            self.flush()
        self._last, self._until = kind, place
        self._alike = self._alike + 1 if is_like_before else 1
        if self._alike <= ONE_BY_ONE:
            terminal.say(terminal.clean(f"{place} {fate}: {reason}"))
        elif self._untold is None:
            self._untold = place


def _follows(place: Place, before: Place) -> bool:
    if place.item is not None and before.item is not None:
        return place.item == before.item + 1
    return place.first == before.last + 1
