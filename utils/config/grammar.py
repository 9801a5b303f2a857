"""Names with parameters, as `adaface(m=0.4)`, and weighted sums of them: read and checked before anything that they
name is imported.
"""

import ast
import difflib
import math
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from utils.errors import UserError

Call = tuple[str, dict[str, object]]
Term = tuple[float, str, dict[str, object]]  # a weight, and a call
Signatures = dict[str, dict[str, object]]  # name -> its parameters' defaults


def parse_call(text: str) -> Call:
    """`name` or `name(param=value, ...)` -> (name, parameters); values are literals. Raises ValueError."""
    return _call(_tree(text))


def parse_sum(text: str) -> list[Term]:
    """`0.5 * name(param=value, ...) + ...`: calls, each with a weight above 0 if it has one. Raises ValueError."""
    return list(_terms(_tree(text)))


def _tree(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(text) from None


def _terms(tree: ast.expr) -> Iterator[Term]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        yield from _terms(tree.left)
        yield from _terms(tree.right)
    elif isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        weight = ast.literal_eval(tree.left)
        if type(weight) not in (int, float) or not 0 < weight < math.inf:
            raise ValueError(weight)
        yield float(weight), *_call(tree.right)
    else:
        yield 1.0, *_call(tree)


def _call(tree: ast.expr) -> Call:
    if isinstance(tree, ast.Name):
        return tree.id, {}
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
        names = [str(keyword.arg) for keyword in tree.keywords]
        if len(set(names)) == len(names):
            return tree.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    raise ValueError(ast.unparse(tree))


@cache
def read_signatures(folder: Path, decorator: str = "register") -> Signatures:
    """Parameters and defaults of each class or function that a file of `folder` registers by `@register("name")`, or by
    another decorator; none is executed.

    Those of a class are of its `__init__`, or of the class of the same file that it inherits that from. Parameters
    without a default, and those that the decorator fixes, are not users' to write.
    """
    return {
        ast.literal_eval(call.args[0]): _parameters(node, classes, {keyword.arg for keyword in call.keywords})
        for node, call, classes in _registered(folder, decorator)
    }


@cache
def registered_with(folder: Path, decorator: str, attribute: str) -> frozenset[str]:
    """The names that `read_signatures` finds whose class sets `attribute = True` in its body."""
    return frozenset(
        ast.literal_eval(call.args[0])
        for node, call, _ in _registered(folder, decorator)
        if any(ast.unparse(part) == f"{attribute} = True" for part in node.body)
    )


_Registered = ast.ClassDef | ast.FunctionDef


def _registered(folder: Path, decorator: str) -> Iterator[tuple[_Registered, ast.Call, dict[str, ast.ClassDef]]]:
    """Each class or function that a file of `folder` registers, the decorator by which it does, and all classes of the
    file.
    """
    for file in sorted(folder.glob("*.py")):
        nodes = [node for node in ast.parse(file.read_text()).body if isinstance(node, _Registered)]
        classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        for node in nodes:
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == decorator:
                    yield node, call, classes


def _parameters(node: _Registered, classes: dict[str, ast.ClassDef], fixed: set[str | None]) -> dict[str, object]:
    if isinstance(node, ast.FunctionDef):
        return {name: value for name, value in _defaults(node.args).items() if name not in fixed}
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _parameters(part, classes, fixed)
    inherited = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return _parameters(inherited[0], classes, fixed) if inherited else {}


def _defaults(arguments: ast.arguments) -> dict[str, object]:
    """The parameters that have a default, which must be a literal."""
    with_default = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    return {
        argument.arg: ast.literal_eval(value) for argument, value in zip(with_default, arguments.defaults, strict=True)
    }


def check_call(text: str, signatures: Signatures, key: str, place: str) -> None:
    """Raises UserError for what is no call, an unknown name or parameter (with the nearest), and a value that is no
    number where the default is one, and so on.
    """
    try:
        call = parse_call(text)
    except ValueError:
        example = 'write a name, or a name with parameters, such as "adaface(m=0.4)"'
        raise UserError(f"{key} = {text!r} {place} cannot be read: {example}.") from None
    _check_known(text, call, signatures, key, place)


def check_sum(text: str, signatures: Signatures, key: str, place: str) -> list[str]:
    """The names in a sum. Raises UserError as `check_call`, for each of its terms."""
    try:
        terms = parse_sum(text)
    except ValueError:
        example = 'write a name, a name with parameters, or a sum, such as "adaface(m=0.4) + 0.5 * triplet"'
        raise UserError(f"{key} = {text!r} {place} cannot be read: {example}.") from None
    for _, name, parameters in terms:
        _check_known(text, (name, parameters), signatures, key, place)
    return [name for _, name, _ in terms]


def _check_known(text: str, call: Call, signatures: Signatures, key: str, place: str) -> None:
    name, parameters = call
    if name not in signatures:
        raise UserError(f"There is no {key} {name} ({place}): {_nearest(name, signatures)}")
    for parameter, value in parameters.items():
        if parameter not in signatures[name]:
            advice = _nearest(parameter, signatures[name])
            raise UserError(f"{key} = {text!r} {place}: {name} has no parameter {parameter}; {advice}")
        kind, wanted = _kind(signatures[name][parameter]), _kind(value)
        if kind != wanted:
            raise UserError(f"{key} = {text!r} {place}: {parameter} must be {kind}, not {value!r}.")


def _kind(value: object) -> str:
    kinds = ((bool, "True or False"), ((int, float), "a number"), (str, "a text"))
    if isinstance(value, tuple) and all(_kind(item) == "a number" for item in value):
        return "a tuple of numbers, such as (10, 16)"
    return next((words for types, words in kinds if isinstance(value, types)), "something else")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}."
