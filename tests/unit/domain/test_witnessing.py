"""Tests what a profile makes of an item's values, and what proves that an item would be shown."""

from dataclasses import replace

import pytest

from service.domain.events import Profile
from service.domain.witnessing import Oneself, Shown, Witnesses, profile_of
from tests.unit.domain.samples import asking, event


@pytest.mark.parametrize(
    ("fields", "profile"),
    [
        ({}, Profile()),
        ({"assignedById": 5, "categoryId": " 07 ", "opened": "y"}, Profile("5", "7", "Y")),
        ({"assignedById": "0", "categoryId": "x", "opened": True}, Profile(None, "?", "Y")),
        ({"assignedById": -1, "categoryId": "", "opened": "no"}, Profile("?", None, "N")),
        ({"assignedById": 10**18, "categoryId": [], "opened": ""}, Profile("?", "?", None)),
    ],
)
def test_values_become_a_profile(fields: dict[str, object], profile: Profile) -> None:
    """As the portal reads them; what is no number is none that anything equals."""
    assert profile == profile_of(fields)


def test_nothing_is_proved_without_a_witness_but_by_an_administrators_view() -> None:
    """An event that was never sent needs no proof."""
    shown = Shown(Witnesses())
    assert (True, False) == (shown.proves(event(), sure=False), shown.proves(event(), sure=True))
    shown.oneself = Oneself("1", admin=True)
    assert shown.proves(event(), sure=True)
    assert shown.may_hang_on_oneself(event())


def test_an_item_that_was_handed_over_is_no_witness_but_nobody_waits_for_it() -> None:
    """It was shown: so the portal shows what we make."""
    witnesses, item = Witnesses(), asking("a", Profile("5", None, None))
    made = witnesses.made(item, 7, 0.0)
    assert not Shown(witnesses).proves(item, sure=False)
    shown = Shown(witnesses)
    shown.add(made, Profile("6", "0", "Y"), 1.0)
    assert (True, False) == (shown.proves(item, sure=False), shown.proves(item, sure=True))


def test_witnesses_are_asked_for_by_what_events_ask_for_and_can_be_forgotten() -> None:
    """Each item once, the newest first; none after the portal was set back."""
    witnesses, item = Witnesses(), asking("a", Profile("5", "0", "Y"))
    made = [witnesses.made(item, number, 0.0) for number in (7, 8, 8)]
    assert [8, 7] == [each.item_id for each in witnesses.to_ask([item])]
    shown = Shown(witnesses)
    shown.add(made[0], Profile("5", "0", "Y"), 1.0)
    assert shown.proves(item, sure=True)
    witnesses.forget()
    assert [] == witnesses.of(item)


def test_what_the_portal_gives_is_learnt_from_the_item_seen_soonest() -> None:
    """People hand items over later."""
    witnesses, item = Witnesses(), asking("a", Profile())
    made = witnesses.made(item, 7, 0.0)
    shown = Shown(witnesses)
    shown.oneself = Oneself("5", admin=False)
    shown.add(made, Profile("5", "0", "N"), 1.0)
    shown.add(made, Profile("6", "3", "Y"), 9.0)
    assert "N" == witnesses.given(2)["opened"][1]
    assert shown.proves(item, sure=True)


def test_what_an_event_asks_for_tells_nothing_of_what_the_portal_gives() -> None:
    """Only where nothing was asked for does the portal choose."""
    witnesses, asked = Witnesses(), Profile("5", "0", "Y")
    lead = replace(asking("a", asked), entity_type_id=1)
    witnesses.learn(witnesses.made(lead, 7, 0.0), asked, 1.0)
    assert {} == witnesses.given(1)


@pytest.mark.parametrize(("pipeline", "proved"), [(None, True), ("3", False)])
def test_what_the_portal_does_not_show_must_be_asked_for_alike(
    pipeline: str | None, *, proved: bool
) -> None:
    """A type without pipelines shows none; nothing tells who may see another one."""
    witnesses, item = Witnesses(), asking("a", Profile("5", None, "Y"))
    shown = Shown(witnesses)
    shown.add(witnesses.made(item, 7, 0.0), Profile("5", None, "Y"), 1.0)
    assert proved is shown.proves(asking("b", Profile("5", pipeline, "Y")), sure=True)


def test_where_another_process_made_items_and_none_is_shown_no_word_will_do() -> None:
    """What was never sent waits for none of them."""
    shown = Shown(Witnesses())
    shown.oneself = Oneself("1", admin=True)
    shown.made_elsewhere.add(event().asks)
    assert (True, False) == (shown.proves(event(), sure=False), shown.proves(event(), sure=True))
    assert not shown.may_hang_on_oneself(event())
