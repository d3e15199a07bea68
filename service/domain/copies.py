"""Decides what is known of an event whose message comes again, to this process or another one.

Whoever had the message in between may have sent it. The broker tells by its count of deliveries,
the memory by its last word, an inner queue by the name of the stay: parked anew, it was with
somebody. What this process itself returned unsent is in no doubt.
"""

from service.domain.history import Doubt, History, Out


def comes_again(known: History, later: History, *, copy: bool = True) -> History:
    """Return what is known of a returned event when its message comes later.

    Not a `copy`: a new publish of it, which does not share the outcome of the earlier one.
    What lay in an inner queue all the time is no new one.
    """
    held_elsewhere = later.mark != known.mark or _was_elsewhere(known, later)
    # A copy says "delivered before" because we had it, and we know what we did.
    unsent = later.doubt is Doubt.STRONG and not held_elsewhere
    floor = Doubt.NONE if unsent else later.doubt
    shares = (copy or later.mark is not None) and not held_elsewhere
    waited = _waited_as(known, later) if held_elsewhere else known
    return waited._replace(
        doubt=max(known.doubt, floor),
        look_at=max(known.look_at, later.look_at if held_elsewhere else 0.0),
        absent_once=known.absent_once and not held_elsewhere,
        times=later.times,
        mark=later.mark,
        foreign=later.foreign,
        outcome=known.outcome if shares else None,
        out=known.out if shares else Out.NOTHING,
    )


def joined(known: History, copy: History, *, askable: bool = True) -> History:
    """Note another delivery of a message that is held; somebody else may have had it meanwhile.

    `askable`: the event can be looked up. Then the original of a parked copy brings its doubt
    along, because who had it may have sent it; what nobody can look up would be blamed for that.
    """
    parked_anew = copy.mark != known.mark and (askable or copy.mark is not None)
    if parked_anew or _was_elsewhere(known, copy):
        known = known.suspected(copy.doubt, copy.look_at)
    return known._replace(times=max(known.times, copy.times))


def _was_elsewhere(known: History, later: History) -> bool:
    """Tell whether somebody else may have held the message before it came again."""
    spoken = later.foreign is not None and later.foreign != known.foreign
    return spoken or later.times > known.times + 1


def _waited_as(known: History, later: History) -> History:
    """Take over how long the message has waited, where it says that."""
    links = known.links if later.links.parked_at is None else later.links
    known = known._replace(attempts=max(known.attempts, later.attempts), links=links)
    if not later.doubt_waited:
        return known
    return known._replace(unproved_since=None, asked=0, doubt_waited=later.doubt_waited)
