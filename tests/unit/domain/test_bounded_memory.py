"""Memory: the newest entries are there, the oldest are gone, and it never outgrows its bound."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.bounded_memory import PARTS, Remembered


def test_a_memory_forgets_the_oldest_first() -> None:
    """Putting an entry again makes it the newest."""
    memory: Remembered[str, int] = Remembered(4)
    for number, key in enumerate("abacdef"):
        memory.put(key, number)
    assert [2, None, 3, 4, 5, 6] == [memory.get(key) for key in "abcdef"]
    assert ("a" in memory, "b" in memory) == (True, False)


def test_a_memory_forgets_on_request() -> None:
    """Popping what is not there is nothing special, and an older value does not come back."""
    memory: Remembered[str, int] = Remembered(4)
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        memory.put(key, value)
    assert [3, None] == [memory.pop("a"), memory.pop("a")]
    assert [True, False] == [memory.forget("b"), memory.forget("b")]
    assert 0 == len(memory)


@given(st.integers(1, 9), st.lists(st.integers(0, 19), max_size=60))
def test_a_memory_holds_the_newest_and_never_outgrows_its_limit(
    limit: int, keys: list[int]
) -> None:
    """At least as many as asked for, at most a part more."""
    memory: Remembered[int, int] = Remembered(limit)
    for number, key in enumerate(keys):
        memory.put(key, number)
        assert len(memory) <= (PARTS + 1) * -(-limit // PARTS)
    newest = {key: number for number, key in enumerate(keys)}
    for key in dict.fromkeys(keys[-limit:]):
        assert newest[key] == memory.get(key)
