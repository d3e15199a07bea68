"""Holds the listed defects to the code as it stands, so that the list cannot rot."""

import ast
import re
from functools import cache

import pytest

from tests.chaos import kept
from tests.mutations.copies import ENDED_WELL, FAILED, Mark, Verdict, command_of, verdict_on
from tests.mutations.defects import ROOT, Defect, every

DEFECTS = every()
LEAST = 40


@cache
def text_of(path: str) -> str:
    """Return a file's text; several defects are made in one."""
    return (ROOT / path).read_text()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: each.name)
def test_a_defect_fits_the_code_and_its_check_is_there(defect: Defect) -> None:
    """Whoever changes the code changes the defect with it, or finds a better one."""
    assert defect.file.startswith("service/")
    ast.parse(defect.made_in(text_of(defect.file)))
    assert defect.why
    assert "#" not in defect.old, "whoever mends the words of a comment changes no defect"
    assert bool(defect.tests) is not bool(defect.histories)
    for test in defect.tests:
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in text_of(path), test


def test_a_defect_that_does_not_fit_is_named() -> None:
    """Neither of two places is guessed."""
    defect = Defect("area", "ends early", "", "service/x.py", "a = 1", "a = 2", ("test",))
    assert defect.made_in("b = 1\na = 1\n") == "b = 1\na = 2\n"
    for source in ("b = 1\n", "a = 1\na = 1\n"):
        with pytest.raises(ValueError, match="ends early"):
            defect.made_in(source)


@pytest.mark.parametrize(
    ("code", "told", "verdict"),
    [
        (ENDED_WELL, "3 passed", Verdict(Mark.SURVIVED, "")),
        (
            FAILED,
            "..F\nFAILED tests/x.py::test_a[1 b]\n",
            Verdict(Mark.KILLED, "tests/x.py::test_a[1 b]"),
        ),
        (FAILED, "seed 7: lost\n", Verdict(Mark.KILLED, "seed 7")),
        (
            FAILED,
            "Traceback\nNameError: x\n",
            Verdict(Mark.UNFIT, "exit code 1: Traceback / NameError: x"),
        ),
        (4, "not found", Verdict(Mark.UNFIT, "exit code 4: not found")),
    ],
)
def test_only_a_test_that_fails_kills(code: int, told: str, verdict: Verdict) -> None:
    """A check that cannot be run proves nothing."""
    assert verdict == verdict_on(code, told)


def test_a_check_is_a_run_of_tests_or_of_histories() -> None:
    """Both as arguments of `python -m`."""
    assert ("tests.tools.histories", "3", "--one") == command_of((), ("3", "--one"))
    assert "pytest" == command_of(("tests/x.py",), ())[0]
    assert "tests/x.py" == command_of(("tests/x.py",), ())[-1]


def test_the_page_tells_the_score_of_the_list_as_it_stands() -> None:
    """Whoever adds a defect runs `make mutations`, and writes down what it says."""
    for page in (kept.PROOF, kept.DEFECTS_PAGE):
        told = re.search(r"\*\*(\d+) of (\d+) killed\*\*", page.read_text())
        assert told is not None, page
        assert len(DEFECTS) == int(told[2])
    assert len(DEFECTS) >= LEAST
