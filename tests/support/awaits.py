"""Tells at which awaits of the importer something happens, and which awaits there are."""

import ast
import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "service" / "importer"
TROUBLES = ("kill", "stop", "cut", "broker killed", "stall")
struck: Counter[tuple[str, str]] = Counter()
"""How often which trouble struck while a task waited in which function of the importer."""


def strike(trouble: str, places: set[str] | None = None) -> None:
    """Count a trouble at all that waits now, or at some places alone."""
    struck.update((trouble, place) for place in (under_way() if places is None else places))


def under_way() -> set[str]:
    """Return the functions of the importer in which a task of this loop is waiting now."""
    return {place for task in asyncio.all_tasks() for place in stack_of(task.get_coro())}


def all_places() -> set[str]:
    """Return every function of the importer that may wait: those with an `await` of their own."""
    found: set[str] = set()
    for file in sorted(FOLDER.rglob("*.py")):
        module = file.relative_to(FOLDER).with_suffix("").as_posix()
        found |= {f"{module}:{name}" for name in _waiting(ast.parse(file.read_text()), "")}
    return found


def stack_of(coroutine: Any) -> Iterator[str]:  # noqa: ANN401 - coroutines, generators, futures
    """Yield the functions of the importer in which a coroutine is waiting, the outermost first."""
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "ag_code", None)
        if code is not None and (place := _place(code)):
            yield place
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)


@cache
def _place(code: CodeType) -> str:
    """Name a function of the importer; nothing for code of others."""
    file = Path(code.co_filename)
    if not file.is_relative_to(FOLDER):
        return ""
    return f"{file.relative_to(FOLDER).with_suffix('').as_posix()}:{code.co_qualname}"


def _waiting(node: ast.AST, inside: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name):
                yield from _waiting(child, f"{inside}{name}.")
            case ast.AsyncFunctionDef(name=name):
                if any(_waits(each) for each in child.body):
                    yield f"{inside}{name}"
                yield from _waiting(child, f"{inside}{name}.<locals>.")
            case ast.FunctionDef(name=name):
                yield from _waiting(child, f"{inside}{name}.<locals>.")
            case _:
                yield from _waiting(child, inside)


def _waits(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
        return True
    return any(_waits(child) for child in ast.iter_child_nodes(node))
