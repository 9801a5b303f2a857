"""Which modules here read files, read from their text."""

import ast

from tests.test_rooms import MODULES

# Calls that read a file, or make something of one's bytes.
_FUNCTIONS = {
    *("read_text", "read_bytes", "fromfile", "memmap", "imdecode", "imread", "safe_open", "InferenceSession", "mmap"),
    *("ZipFile", "read_object", "parse_object", "parse_json", "map_array", "map_arrays", "read_pickle", "byte_lines"),
    *("BoundedStream", "load_from_string", "Unpickler", "TarFile"),
}
_OF_MODULES = {
    "load": {"np", "numpy", "json", "onnx", "pickle", "nd", "torch"},
    "loads": {"json", "pickle"},
    "open": {"tarfile", "Image", "io"},
    "create": {"FaceDetectorYN"},
}


def readers() -> dict[str, list[int]]:
    """Modules that read files, with the lines where they do."""
    found = {}
    for name, path in MODULES.items():
        lines = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if _reads(node)]
        if lines:
            found[name] = lines
    return found


def _reads(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    owner = function.value if isinstance(function, ast.Attribute) else None
    owner = getattr(owner, "attr", getattr(owner, "id", ""))
    if name in _FUNCTIONS or owner in _OF_MODULES.get(name, ()):
        return True
    return name == "open" and owner != "os" and _mode(node, isinstance(function, ast.Attribute)).startswith(("r", "?"))


def _mode(node: ast.Call, is_method: bool) -> str:
    """Of an `open`: "r" where none is given, "?" where it is no constant."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    given = given or node.args[0 if is_method else 1 :][:1]
    if not given:
        return "r"
    return given[0].value if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else "?"
