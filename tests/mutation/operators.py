"""The mutations of one source: each a small edit that changes what the code does.

Text is edited in place and nothing is reformatted, so a mutant is its original with a few characters
changed and its report is one line. Annotations, docstrings, logging and error texts are left alone: no
test has to hold their words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),  # codespell:ignore
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "//"), ast.FloorDiv: ("//", "*"),
}  # fmt: skip
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SILENT_CALLS = re.compile(r"^(log|_log|logger)\.|^(print|warnings\.warn)$")
_LUA_OPERATORS = {
    "<=": "<", ">=": ">", "<": "<=", ">": ">=", "==": "~=", "~=": "==", " and ": " or ", " or ": " and ",
    " + 1": " + 2", " - 1": " - 2", "math.max": "math.min",
}  # fmt: skip
_LUA = re.compile("|".join(re.escape(each) for each in sorted(_LUA_OPERATORS, key=len, reverse=True)))


class Mutation(NamedTuple):
    """Replace `source[start:end]` by `text`; `line` counts from 1."""

    start: int
    end: int
    text: str
    line: int

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def describe(self, source: str) -> str:
        """Return the line as it was and as it is, for a report."""
        before = source.splitlines()[self.line - 1].strip()
        after = self.apply(source).splitlines()[self.line - 1].strip()
        return f"{before}  →  {after}" if before != after else f"{before}  →  (removed below)"


def python_mutations(source: str) -> list[Mutation]:
    """Return all mutations of a Python module, in the order of the text."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(finder.found)


def lua_mutations(source: str) -> list[Mutation]:
    """Return all mutations of a Lua script; comments and string literals are left alone."""
    found: list[Mutation] = []
    start = 0
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        code = re.sub(r"'[^']*'", lambda match: "_" * len(match[0]), line).split("--")[0]
        found += [
            Mutation(start + each.start(), start + each.end(), _LUA_OPERATORS[each[0]], number)
            for each in _LUA.finditer(code)
        ]
        start += len(line)
    return found


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.found: list[Mutation] = []
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line.encode()))
        self._bytes = source.encode()

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            self._swap(left, right, _COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if (swap := _ARITHMETIC.get(type(node.op))) and not _is_text(node):
            self._swap(node.left, node.right, swap)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if swap := _ARITHMETIC.get(type(node.op)):
            self._swap(node.target, node.value, (swap[0] + "=", swap[1] + "="))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        swap = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap(left, right, swap)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start = self._offset(node.lineno, node.col_offset)
            self._add(start, start + len("not "), "", node.lineno)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _SWAPPED_CALLS:
            self._replace(node.func, _SWAPPED_CALLS[node.func.id])
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or self._is_silent(node.value):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__slots__":
            return
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Its text is for people."""

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in ("__repr__", "statistics"):
            return
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def _is_silent(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and bool(_SILENT_CALLS.match(ast.unparse(node.func)))

    def _swap(self, left: ast.expr, right: ast.expr, swap: tuple[str, str]) -> None:
        """Swap the operator between two operands."""
        start = self._offset(left.end_lineno or 0, left.end_col_offset or 0)
        end = self._offset(right.lineno, right.col_offset)
        between = self._bytes[start:end].decode()
        match = re.search(rf"(?<![\w<>=!]){re.escape(swap[0])}(?![\w<>=])", re.sub(r"#.*", "", between))
        if match:
            before = between[: match.start()]
            begin = start + len(before.encode())
            line = (left.end_lineno or 0) + before.count("\n")
            self._add(begin, begin + len(swap[0]), swap[1], line)

    def _replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        start = self._offset(node.lineno, node.col_offset)
        self._add(start, self._offset(node.end_lineno or 0, node.end_col_offset or 0), text, node.lineno)

    def _add(self, start: int, end: int, text: str, line: int) -> None:
        """Note one edit, given in bytes."""
        self.found.append(
            Mutation(len(self._bytes[:start].decode()), len(self._bytes[:end].decode()), text, line)
        )

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column


def _is_text(node: ast.BinOp) -> bool:
    """Whether this adds up texts, where a minus is only a TypeError."""
    operands = list(_operands(node))
    return any(
        isinstance(each, ast.JoinedStr)
        or (isinstance(each, ast.Constant) and isinstance(each.value, str | bytes))
        for each in operands
    )


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from _operands(node.left)
        yield from _operands(node.right)
    else:
        yield node
