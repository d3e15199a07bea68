"""Our judgement of values beside the real PHP, both ways: nothing lost unsaid, no false alarm."""

import json
import random
from collections.abc import Iterable

import pytest

from tests.support import php_values
from tests.support.judging import disagreements, misjudged_days, misreadings
from tests.support.php import RECORD, Answer, ask, recorded

LARGE = 40_000
SEEDS = (1, 2, 3)


def test_the_record_is_what_php_answers() -> None:
    """The unit tests check against it where no PHP is at hand."""
    documents = php_values.table()
    assert [document for document, _ in recorded()] == documents
    assert [answer for _, answer in recorded()] == ask(documents), f"write {RECORD.name} anew"


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_judged_as_php_keeps_them(seed: int) -> None:
    """Texts and digits of every kind."""
    chance = random.Random(seed)
    documents = list(dict.fromkeys(php_values.numbers(LARGE // 4, chance)))
    assert [] == disagreements(zip(documents, ask(documents), strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_dates_are_read_as_php_reads_them(seed: int) -> None:
    """Each way of writing a day."""
    texts = [text for text, _ in php_values.formatted(200, random.Random(seed))]
    assert [] == misreadings(answered(texts))


@pytest.mark.parametrize("seed", SEEDS)
def test_mistyped_dates_are_read_as_php_reads_them(seed: int) -> None:
    """One character changed, added or left out; of nonsense one in a thousand may differ."""
    chance = random.Random(seed)
    texts = [php_values.mutated(text, chance) for text, _ in php_values.formatted(200, chance)]
    different = misreadings(answered(texts))
    assert len(different) <= len(texts) / 1000, different


@pytest.mark.parametrize("seed", SEEDS)
def test_a_date_is_complained_of_only_where_php_keeps_another_day(seed: int) -> None:
    """The day that was written is known; PHP's is asked."""
    dates = list(php_values.formatted(200, random.Random(seed)))
    answers = ask([json.dumps(text) for text, _ in dates])
    assert [] == misjudged_days(zip(dates, answers, strict=True))


def answered(texts: Iterable[str]) -> list[tuple[str, Answer]]:
    """Return each text as JSON, with PHP's answer."""
    documents = [json.dumps(text) for text in dict.fromkeys(texts)]
    return list(zip(documents, ask(documents), strict=True))
