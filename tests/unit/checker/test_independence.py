"""Tests that the checker stands alone: it shares no mistake with what it judges."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKER = Path(__file__).parents[2] / "checker"


def imported(source: str) -> Iterator[str]:
    """Yield the modules that a source imports."""
    for found in ast.walk(ast.parse(source)):
        if isinstance(found, ast.Import):
            yield from (each.name for each in found.names)
        elif isinstance(found, ast.ImportFrom):
            yield found.module or ""


def is_own(module: str) -> bool:
    """Tell whether a module belongs to Python itself or to the checker."""
    return module.partition(".")[0] in sys.stdlib_module_names or module.startswith(
        "tests.checker"
    )


def test_the_checker_imports_only_python_itself() -> None:
    """Nothing of `service`, nothing of the suites, in any way."""
    files = sorted(CHECKER.rglob("*.py"))
    assert len(files) > 3
    for file in files:
        source = file.read_text()
        assert [] == [module for module in imported(source) if not is_own(module)], file
        assert not {"__import__", "importlib"} & set(imported(source))
        assert "__import__" not in source


def test_a_foreign_import_would_be_seen() -> None:
    """The rule above can fail."""
    planted = "import service.domain\nfrom tests.chaos import trial\nimport json"
    assert [False, False, True] == [is_own(module) for module in imported(planted)]
