"""Tells at which awaits of the importer something happens, and which awaits there are."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "service" / "importer"


def under_way() -> set[str]:
    """Return the functions of the importer in which a task of this loop is waiting now."""
    return {place for task in asyncio.all_tasks() for place in _stack(task.get_coro())}


def all_places() -> set[str]:
    """Return every function of the importer that may wait: those with an `await` of their own."""
    found: set[str] = set()
    for file in sorted(FOLDER.rglob("*.py")):
        module = file.relative_to(FOLDER).with_suffix("").as_posix()
        found |= {f"{module}:{name}" for name in _waiting(ast.parse(file.read_text()), "")}
    return found


def _stack(coroutine: Any) -> Iterator[str]:  # noqa: ANN401 - coroutines, generators, futures
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "ag_code", None)
        if code is not None and Path(code.co_filename).is_relative_to(FOLDER):
            module = Path(code.co_filename).relative_to(FOLDER).with_suffix("").as_posix()
            yield f"{module}:{coroutine.__qualname__}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)


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
