"""Measures the modules and functions of the service, and fails where a ceiling is broken."""

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOM = Path("service")
MODULE_LINES = 250
FUNCTION_LINES = 45
PARAMETERS = 6
NESTING = 3
# `with` does not count: in app.py its indentation, read from below, is the shutdown.
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Size:
    """Gives one figure of one place."""

    place: str
    value: int


def main() -> int:
    """Print the figures and every place above its ceiling."""
    modules = sorted(ROOM.rglob("*.py"))
    functions = [found for module in modules for found in _functions(module)]
    tables = (
        ("module lines", MODULE_LINES, [Size(str(path), _lines(path)) for path in modules]),
        ("function lines", FUNCTION_LINES, [Size(at, _body_lines(f)) for at, f in functions]),
        ("parameters", PARAMETERS, [Size(at, _parameters(f)) for at, f in functions]),
        ("nesting", NESTING, [Size(at, _nesting(f.body)) for at, f in functions]),
    )
    broken = [_report(name, ceiling, sizes) for name, ceiling, sizes in tables]
    return 1 if any(broken) else 0


def _report(name: str, ceiling: int, sizes: Sequence[Size]) -> bool:
    values = sorted(size.value for size in sizes) or [0]
    ninth = values[min(len(values) - 1, len(values) * 9 // 10)]
    print(
        f"{name:15} {len(sizes):4} of them: median {statistics.median(values):3.0f}, "
        f"nine in ten up to {ninth:3}, largest {values[-1]:3} (ceiling {ceiling})"
    )
    above = [size for size in sizes if size.value > ceiling]
    for size in sorted(above, key=lambda size: -size.value):
        print(f"  {size.place}: {size.value}")
    return bool(above)


def _lines(path: Path) -> int:
    return sum(1 for line in path.read_text().splitlines() if line.strip())


def _functions(
    module: Path,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for found in ast.walk(ast.parse(module.read_text())):
        if isinstance(found, FUNCTIONS):
            yield f"{module}:{found.lineno} {found.name}", found


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count what a caller may pass; `self` and `cls` are not passed."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return sum(1 for one in named if one.arg not in {"self", "cls"})


def _nesting(body: Sequence[ast.AST]) -> int:
    """Return how many blocks stand inside one another."""
    return max((_depth(node) for node in body), default=0)


def _depth(node: ast.AST) -> int:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
        return 0
    inner = max((_depth(child) for child in _children(node)), default=0)
    return inner + isinstance(node, BLOCKS)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands below a node; `elif` stands beside its `if`, not inside."""
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and [child] == node.orelse and isinstance(child, ast.If):
            yield from _children(child)
        else:
            yield child


if __name__ == "__main__":
    sys.exit(main())
