"""Proves what is noted of a call, and what a note of another process means."""

import time
from collections.abc import Sequence

import pytest

from service.domain.claim_making import doubt_by_word
from service.domain.decisions import Decision
from service.domain.events import BatchKey, ItemEvent, event_digest
from service.domain.history import Doubt
from service.domain.last_words import LastWord, LastWords, Word
from service.domain.outcomes import Failed, FailureKind, Imported, Report
from service.importer.memory import CallNotes
from tests.unit.domain.samples import DEAL, ESTIMATE, batch, claim, event, external_id
from tests.unit.importer.test_batch_import import Bench

OURS, THEIRS = 1, 2
PROOF = 100.0
REJECTED = Failed(FailureKind.REJECTED, "X", "x")
AMBIGUOUS = Failed(FailureKind.AMBIGUOUS, "X", "x")


class Notes:
    """A memory that answers at once, and in which somebody else wrote before."""

    def __init__(self) -> None:
        self.writer = OURS
        self.reliable = self.tells_queues = True
        self.words = LastWords(100)
        self.added: list[LastWord] = []

    async def catch_up(self) -> bool:
        return True

    async def before_call(self, words: Sequence[LastWord]) -> list[LastWord | None] | None:
        return [self.words.say(word) for word in words]

    async def add(self, words: Sequence[LastWord]) -> bool:
        self.added += words
        for word in words:
            self.words.say(word)
        return True

    async def set_back(self) -> None:
        self.words.set_back(time.time())


def setting() -> tuple[CallNotes, Notes]:
    """Return notes at loop time 0, and the memory they write to."""
    notes, memory = CallNotes(proof=PROOF, clock=lambda: 0.0), Notes()
    notes.memory = memory
    return notes, memory


class Order(Notes):
    """A memory that notes what happens in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def before_call(self, words: Sequence[LastWord]) -> list[LastWord | None] | None:
        self.order.append("noted before")
        return await super().before_call(words)

    async def add(self, words: Sequence[LastWord]) -> bool:
        self.order.append("noted after")
        return await super().add(words)

    async def set_back(self) -> None:
        self.order.append("set back")
        await super().set_back()


def remembering() -> tuple[Bench, Order]:
    """Return an importer with a portal, and the memory that it writes to."""
    bench, memory = Bench(), Order()
    bench._importer._notes.memory = memory  # noqa: SLF001 - as the service sets it
    call = bench.portal.import_items

    async def called(key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        memory.order.append("called")
        return await call(key, events)

    bench.portal.import_items = called  # type: ignore[method-assign]  # to see when
    return bench, memory


def theirs(name: str, word: Word, ago: float = 0.0) -> LastWord:
    """Return what another process said of an event, so many seconds ago."""
    one = event(name)
    digest = event_digest(one.identity)
    return LastWord(digest, word, one.entity_type_id, time.time() - ago, THEIRS, 5)


async def test_events_that_another_process_calls_with_do_not_leave() -> None:
    """The earlier word stands, and they are looked up when that can prove something."""
    notes, memory = setting()
    memory.words.say(theirs("a", Word.IN_CALL, ago=40))
    claims = [claim("a"), claim("b")]
    assert claims[:1] == await notes.before(batch(*claims))
    assert Doubt.STRONG is claims[0].known.doubt
    assert 55 < claims[0].known.look_at <= 60.1
    assert Doubt.NONE is claims[1].known.doubt
    stands = memory.words.of(event_digest(claims[0].event.identity))
    assert stands is not None
    assert THEIRS == stands.writer


async def test_a_call_is_noted_before_it_is_made_and_its_end_before_anybody_is_told() -> None:
    """A process that is killed in between leaves a word that says what may be in the CRM."""
    bench, memory = remembering()
    await bench.carry(claim("a"))
    assert ["noted before", "called", "noted after"] == memory.order
    word = memory.words.of(event_digest(event("a").identity))
    assert word is not None
    assert (Word.IMPORTED, OURS) == (word.word, word.writer)


async def test_what_is_withdrawn_is_not_sent_and_waits_for_its_look_up() -> None:
    """The rest of its batch goes; where nothing is left there is no call."""
    bench, memory = remembering()
    for name in ("a", "c"):
        memory.words.say(theirs(name, Word.IN_CALL))
    decision = await bench.carry(withdrawn := claim("a"), claim("b"))
    assert [["b"]] == bench.portal.calls
    [again] = decision.again
    assert ((withdrawn,), withdrawn.known.look_at) == (again.claims, again.due)
    assert again.due > bench.clock.now + PROOF
    await bench.carry(claim("c"))
    assert [["b"]] == bench.portal.calls


@pytest.mark.error_logs
async def test_every_process_is_told_that_the_portal_was_set_back() -> None:
    """They would answer from what is gone."""
    bench, memory = remembering()
    await bench.carry(claim("old"))
    bench.portal.items = {(DEAL, external_id("a")): [1]}
    await bench.carry(claim("a", doubt=Doubt.STRONG))
    assert "set back" in memory.order


@pytest.mark.parametrize(
    ("word", "ago", "goes"),
    [
        (Word.IN_CALL, 99, False),
        (Word.IN_CALL, 101, True),
        (Word.UNKNOWN, 1, False),
        (Word.IMPORTED, 1000, False),
        (Word.NOT_THERE, 0, True),
        (Word.LET_GO, 0, True),
    ],
)
async def test_only_what_may_be_in_the_crm_stays(word: Word, ago: float, *, goes: bool) -> None:
    """A call too old to be at work was looked up before this one was to leave."""
    notes, memory = setting()
    memory.words.say(theirs("a", word, ago))
    one = claim("a")
    assert ([] if goes else [one]) == await notes.before(batch(one))


@pytest.mark.parametrize(("judged", "goes"), [(300.0, False), (100.0, True)])
async def test_a_word_younger_than_what_is_known_of_an_event_is_in_its_way(
    judged: float, *, goes: bool
) -> None:
    """However old the call is: the event was not looked up since, so it may be in the CRM."""
    notes, memory = setting()
    memory.words.say(theirs("a", Word.UNKNOWN, ago=200.0))
    one = claim("a")
    one.judged_at = time.time() - judged
    assert ([] if goes else [one]) == await notes.before(batch(one))


async def test_what_became_of_a_call_is_noted() -> None:
    """Imported, refused, or not known; what was never executed is not there."""
    notes, memory = setting()
    done, refused, unknown, unsent = claims = [claim(name) for name in "abcd"]
    unknown.known = unknown.known.suspected(Doubt.STRONG, 1.0)
    decision = Decision(ended=[(done, Imported(15)), (refused, REJECTED)])
    await notes.after(claims, decision, at=7.0)
    assert [
        (Word.IMPORTED, 15),
        (Word.NOT_THERE, 0),
        (Word.UNKNOWN, 0),
        (Word.NOT_THERE, 0),
    ] == [(word.word, word.item_id) for word in memory.added]
    assert 7.0 == memory.added[2].at
    assert unsent.event.event_id


async def test_what_ends_ambiguous_is_let_go_only_where_nobody_can_ask() -> None:
    """Else its next publish is looked up, and at once."""
    notes, memory = setting()
    asked, lost = claim("a"), claim("b")
    lost.event = event("b", entity_type_id=ESTIMATE, external=None)
    await notes.after((), Decision(ended=[(asked, AMBIGUOUS), (lost, AMBIGUOUS)]))
    assert [Word.UNKNOWN, Word.LET_GO] == [word.word for word in memory.added]
    assert notes.look_at(memory.added[0]) <= 0.1


@pytest.mark.parametrize(
    ("word", "flags", "doubt"),
    [
        (None, {}, Doubt.NONE),
        (None, {"unsure": True}, Doubt.WEAK),
        (None, {"perhaps_sent": True}, Doubt.STRONG),
        (Word.IN_CALL, {}, Doubt.STRONG),
        (Word.UNKNOWN, {"unsure": True}, Doubt.STRONG),
        (Word.NOT_THERE, {"unsure": True}, Doubt.NONE),
        (Word.NOT_THERE, {"perhaps_sent": True}, Doubt.NONE),
        (Word.LET_GO, {}, Doubt.NONE),
    ],
)
def test_the_last_word_decides_the_doubt(
    word: Word | None, flags: dict[str, bool], doubt: Doubt
) -> None:
    """Not the broker's flag: what was returned unsent stays unsent."""
    all_flags = {"unsure": False, "perhaps_sent": False, **flags}
    last = None if word is None else theirs("a", word)
    assert doubt is doubt_by_word(event("a"), last, ask="doubtful", **all_flags)


def test_an_estimate_that_was_in_no_call_is_sent_again() -> None:
    """Nobody can look it up, and nobody has to."""
    one = event("a", entity_type_id=ESTIMATE, external=None)
    flags = {"unsure": True, "perhaps_sent": False}
    assert Doubt.NONE is doubt_by_word(one, None, ask="doubtful", **flags)
    assert Doubt.STRONG is doubt_by_word(one, theirs("a", Word.IN_CALL), ask="doubtful", **flags)


async def test_an_item_that_is_gone_makes_a_new_publish_of_its_event_a_question() -> None:
    """Asked at once: the word stands as long after its call as any call may be at work."""
    notes, memory = setting()
    memory.words.say(theirs("a", Word.IMPORTED, ago=1.0))
    memory.words.say(theirs("b", Word.IMPORTED, ago=500.0))
    memory.words.say(theirs("c", Word.NOT_THERE))
    await notes.gone([event(each).identity for each in ("a", "b", "c", "never")])
    words = [memory.words.of(event_digest(event(each).identity)) for each in ("a", "b", "c")]
    assert [Word.UNKNOWN, Word.UNKNOWN, Word.NOT_THERE] == [each.word for each in words if each]
    fresh, old = words[:2]
    assert fresh is not None
    assert old is not None
    assert PROOF - 2.0 < notes.look_at(fresh) < PROOF
    assert notes.look_at(old) < 1.0
    assert 2 == len(memory.added)


def test_no_message_waits_longer_for_a_look_up_than_a_call_that_leaves_now() -> None:
    """Whatever moment it names."""
    notes, _ = setting()
    for at in (0.0, time.time() - 10.0):
        assert notes.provable(at) <= notes.clock()
    for at in (time.time() + PROOF, 1e11):
        assert PROOF == pytest.approx(notes.provable(at) - notes.clock(), abs=1.0)


def test_a_clock_that_is_set_forth_brings_no_look_up_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-by takes over from a killed process, and somebody sets its clock."""
    notes, _ = setting()
    word = theirs("a", Word.IN_CALL)
    told = time.time() + PROOF
    monkeypatch.setattr(time, "time", lambda: told + 3600.0)
    assert PROOF == pytest.approx(notes.look_at(word), abs=2.0)
    assert PROOF == pytest.approx(notes.provable(told), abs=2.0)
