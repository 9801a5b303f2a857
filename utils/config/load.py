"""The config of a run: `configs/base.py`, then the run's file, then the command line, validated before any work."""

from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from utils.config.file import BASE_FILE, find_config, run_config_file, show_path
from utils.config.phases import check_teacher, expand_layer, settle_phases
from utils.config.rules import check_key, check_together
from utils.config.schema import LOSSES, SCHEMA, settle, settle_text
from utils.errors import UserError

_COMMAND_LINE = "on the command line"


def load_config(path: str | Path, overrides: Sequence[str] = (), *, require_data: bool = True) -> EasyDict:
    """The resolved config: every key of base, with the run file's values and then `key=value` overrides over them.

    `path` is a file or a bare name (`ms1mv3_r50`), looked for in the cwd and then in the repo. With
    `require_data=False` (evaluation, export) nothing is asked for that only training needs.

    Raises UserError, one sentence saying what, where and what is allowed instead, for a file that is missing or
    cannot be executed, an unknown key, a wrong type, an impossible value, or values that contradict each other.
    """
    file = find_config(path)
    layers = [_file_layer(BASE_FILE), _file_layer(file), (_parse_overrides(overrides), _COMMAND_LINE)]
    cfg, places = EasyDict(), {}
    for layer, place in layers:
        expand_layer(layer, place)
        cfg.update(layer)
        places.update(dict.fromkeys(layer, place))
    if cfg.phases:
        settle_phases(cfg, places, require_data)
    else:
        check_together(cfg, places, require_data)
    if require_data:
        check_teacher(cfg, places)
    if cfg.output is None:
        cfg.output = str(Path("work_dirs", file.stem))
    return cfg


def dump_config(cfg: EasyDict) -> str:
    """`cfg` as the text of a config file that `load_config` reads back to an equal config."""
    unused = () if cfg.loss is None or cfg.loss in LOSSES else ("margin_list",)  # a loss has its own
    lines = (f"config.{key} = {cfg[key]!r}" for key in SCHEMA if key not in unused)
    head = '"""A resolved config; configs/base.py says what each key means."""\n\n'
    return f"{head}from easydict import EasyDict as edict\n\nconfig = edict()\n" + "\n".join(lines) + "\n"


def format_config(cfg: EasyDict) -> str:
    """`cfg` for the log, one aligned `key: value` line per key, in base's order."""
    width = max(map(len, SCHEMA)) + 1
    return "\n".join(f"{key + ':':<{width}} {cfg[key]}" for key in SCHEMA)


def _file_layer(path: Path) -> tuple[dict, str]:
    place = f"in {show_path(path)}"
    stated = run_config_file(path)
    for key in stated:
        check_key(key, place)
    return {key: settle(key, value, place) for key, value in stated.items()}, place


def _parse_overrides(overrides: Sequence[str]) -> dict:
    """Typed values of `key=value` arguments; of a key given twice the later counts."""
    layer = {}
    for argument in overrides:
        key, equals, text = (part.strip() for part in argument.partition("="))
        if key.startswith("-"):
            raise UserError(
                f"{argument} is not an option; keys are set without dashes: {key.lstrip('-')}={text or 'VALUE'}."
            )
        if not equals or not key:
            raise UserError(f"{argument!r} {_COMMAND_LINE} is not an override; write key=value, such as batch_size=64.")
        check_key(key, _COMMAND_LINE)
        layer[key] = settle_text(key, text, _COMMAND_LINE)
    return layer
