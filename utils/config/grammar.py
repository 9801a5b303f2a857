"""Names with parameters, as `adaface(m=0.4)`: read and checked before anything that they name is imported."""

import ast
import difflib
from functools import cache
from pathlib import Path

from utils.errors import UserError

Call = tuple[str, dict[str, object]]


def parse_call(text: str) -> Call:
    """`name` or `name(param=value, ...)` -> (name, parameters); values are literals. Raises ValueError."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    except SyntaxError:
        pass
    raise ValueError(text)


@cache
def read_signatures(folder: Path) -> dict[str, tuple[str, ...]]:
    """The parameters of each class that a file of `folder` registers by `@register("name")`; no file is executed.

    They are those of its `__init__`, or of the class of the same file that it inherits that from.
    """
    signatures = {}
    for file in sorted(folder.glob("*.py")):
        classes = {node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)}
        for node in classes.values():
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "register":
                    signatures[ast.literal_eval(call.args[0])] = _parameters(node, classes)
    return signatures


def _parameters(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> tuple[str, ...]:
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return tuple(argument.arg for argument in [*part.args.args[1:], *part.args.kwonlyargs])
    inherited = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return _parameters(inherited[0], classes) if inherited else ()


def check_call(text: str, signatures: dict[str, tuple[str, ...]], key: str, place: str) -> None:
    """Raises UserError, with the nearest that there is, for another name or parameter, or what is no such call."""
    try:
        name, parameters = parse_call(text)
    except ValueError:
        example = 'a name or name(param=value, ...), such as "adaface(m=0.4)"'
        raise UserError(f"{key} = {text!r} {place} cannot be read: it is {example}.") from None
    if name not in signatures:
        raise UserError(f"{key} = {text!r} {place} is not there: {_nearest(name, sorted(signatures))}.")
    for parameter in parameters:
        if parameter not in signatures[name]:
            advice = _nearest(parameter, signatures[name]) if signatures[name] else "it takes none"
            raise UserError(f"{key} = {text!r} {place}: {name} has no parameter {parameter}; {advice}.")


def _nearest(name: str, names: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?".rstrip("?") if near else f"there are {', '.join(names)}"
