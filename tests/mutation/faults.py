"""The single faults that a file can have, each as a change of a few characters of its text."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Bytes `start` to `stop` of a file, on `line`, that become `after`."""

    line: int
    start: int
    stop: int
    before: str
    after: str

    def planted(self, text: bytes) -> bytes:
        return text[: self.start] + self.after.encode() + text[self.stop :]


def faults_of(text: bytes) -> list[Fault]:
    """All of a Python file, in the order of its lines."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, new in _changes(ast.parse(text)):
        start, stop = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        # In parentheses, for what stands around it may bind closer; where it is a whole line it needs none.
        after = ast.unparse(new) if isinstance(new, ast.stmt) else f"({ast.unparse(new)})"
        found.append(Fault(node.lineno, start, stop, text[start:stop].decode(), after))
    return sorted(found, key=lambda fault: (fault.start, fault.stop, fault.after))


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each part that a fault would change, and what it would be."""
    for node in _code(tree):
        if isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):  # own faults
            yield node.test, ast.UnaryOp(ast.Not(), node.test)
        for new in _FAULTS.get(type(node), lambda node: ())(node):
            yield node, new


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs: without annotations, and without what an exception says."""
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child
                yield from _code(child)


def _with(node: ast.AST, **changed: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in changed.items():
        setattr(new, name, value)
    return new


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for number, operator in enumerate(node.ops):
        ops = list(node.ops)
        ops[number] = _COMPARISONS[type(operator)]()
        yield _with(node, ops=ops)


def _operator(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in _OPERATORS:
        yield _with(node, op=_OPERATORS[type(node.op)]())


def _augmented(node: ast.AugAssign) -> Iterator[ast.AST]:
    yield from _operator(node)
    yield ast.Pass()


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, float):
        yield ast.Constant(2 * value if value else 1.0)


def _boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _condition(node: ast.IfExp) -> Iterator[ast.AST]:
    yield _with(node, body=node.orelse, orelse=node.body)


def _statement(node: ast.Expr) -> Iterator[ast.AST]:
    if isinstance(node.value, ast.Call):
        yield ast.Pass()


_FAULTS: dict[type, Callable[..., Iterator[ast.AST]]] = {
    ast.Compare: _compare,
    ast.BinOp: _operator,
    ast.AugAssign: _augmented,
    ast.Constant: _constant,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.IfExp: _condition,
    ast.Expr: _statement,
}
