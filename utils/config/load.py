"""The config of a run: `configs/base.py`, then the run's file, then the command line, validated before any work."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from easydict import EasyDict

from utils.config.file import BASE_FILE, REPO, find_config, from_folder, run_config_file, show_path, written_keys
from utils.config.insightface import translate
from utils.config.insightface_keys import RENAMED, is_insightface
from utils.config.phases import check_teacher, settle_phases
from utils.config.rules import call_faults, check_key, contradictions, expand_loss, expand_old_keys, refusal
from utils.config.schema import LOSSES, SCHEMA, SECRETS, settle, settle_text
from utils.errors import UserError

_COMMAND_LINE, _BASE = "on the command line", "in configs/base.py"


@dataclass(frozen=True)
class Loaded:
    """A resolved config; places: where each key was set, as messages name it; notice: what an InsightFace file says in
    other words than ours, or "".
    """

    cfg: EasyDict
    places: dict[str, str]
    notice: str


def load_config(path: str | Path, overrides: Sequence[str] = (), *, require_data: bool = True) -> EasyDict:
    """The config alone of `read_config`."""
    return read_config(path, overrides, require_data=require_data).cfg


def read_config(path: str | Path, overrides: Sequence[str] = (), *, require_data: bool = True) -> Loaded:
    """The resolved config: every key of base, with the run file's values and then `key=value` overrides over them.

    `path` is a file or a bare name (`ms1mv3_r50`), looked for in the cwd and then in the repo. With
    `require_data=False` (evaluation, export) nothing is asked for that only training needs. Files of InsightFace's
    arcface_torch and arcface_oneflow mean what they mean there. Relative paths are meant from the repo in a file, from
    the folder that holds configs/ in one of InsightFace's, and from the cwd on the command line.

    Raises UserError for a file that is missing or cannot be executed, and for all unknown keys, wrong types, impossible
    values and contradictions at once, each in one sentence saying what, where and what is allowed instead.
    """
    file, layers = find_config(path), _Layers()
    stated, place_of = _stated(file)
    typed = layers.split(overrides)
    over = {key: text for key, text in typed.items() if key in SCHEMA}
    stated, notice = translate(stated, file, _readable(from_folder(over, Path.cwd())))
    for key, sentence in notice.findings.items():
        layers.note((key,), sentence)
    layers.add(run_config_file(BASE_FILE), {}, _BASE, settle, REPO)
    layers.add(stated, place_of, f"in {show_path(file)}", settle, REPO)
    layers.add(typed, {}, _COMMAND_LINE, settle_text, Path.cwd())
    cfg, places = layers.cfg, layers.places
    layers.check_together(require_data)
    if layers.findings:
        raise refusal(layers.findings)
    if cfg.output is None:
        cfg.output = from_folder({"output": str(Path("work_dirs", file.stem))}, REPO)["output"]
    return Loaded(cfg, places, str(notice))


def dump_config(cfg: EasyDict, places: Mapping[str, str] = MappingProxyType({})) -> str:
    """`cfg` as the text of a config file that `load_config` reads back to an equal config, but for secrets.

    places: where keys were set; those that base did not set say so in a comment.
    """
    unused = () if cfg.loss is None or cfg.loss in LOSSES else ("margin_list",)  # a loss has its own
    lines = []
    for key in SCHEMA:
        place = places.get(key, _BASE)
        if key not in unused and key not in SECRETS:
            lines.append(f"config.{key} = {cfg[key]!r}" + (f"  # {place}" if place != _BASE else ""))
    head = '"""A resolved config; configs/base.py says what each key means."""\n\n'
    return f"{head}from easydict import EasyDict as edict\n\nconfig = edict()\n" + "\n".join(lines) + "\n"


def format_config(cfg: EasyDict) -> str:
    """`cfg` for the log, one aligned `key: value` line per key, in base's order."""
    width = max(map(len, SCHEMA)) + 1
    values = {key: shown_value(key, cfg[key]) if key in SECRETS else cfg[key] for key in SCHEMA}
    return "\n".join(f"{key + ':':<{width}} {value}" for key, value in values.items())


def shown_value(key: str, value: Any) -> str:
    """A value as logs and pages show it; of a secret whether there is one."""
    if key in SECRETS and value is not None:
        return "(set, and not shown)"
    return repr(value)


class _Layers:
    """A config that grows by layers, and the findings in them: each layer counts over those before."""

    def __init__(self) -> None:
        self.cfg, self.places = EasyDict(), dict[str, str]()
        self.findings: list[str] = []
        self._faulty: set[str] = set()  # keys of which there is a finding

    def split(self, overrides: Sequence[str]) -> dict[str, str]:
        """Texts by key of `key=value` arguments; of a key given twice the later counts."""
        typed = {}
        for argument in overrides:
            key, equals, text = (part.strip() for part in argument.partition("="))
            if key.startswith("-"):
                meant = f"{key.lstrip('-')}={text or 'VALUE'}"
                self.findings.append(f"{argument} is not an option; keys are set without dashes: {meant}.")
            elif not equals or not key:
                advice = "write key=value, such as batch_size=64."
                self.findings.append(f"{argument!r} {_COMMAND_LINE} is not an override; {advice}")
            else:
                typed[key] = text
        return typed

    def add(
        self,
        stated: Mapping[str, Any],
        place_of: Mapping[str, str],
        place: str,
        settled: Callable[[str, Any, str], Any],
        folder: Path,
    ) -> None:
        """place_of: where keys were stated that were not stated at `place`. folder: where relative paths begin."""
        layer: dict[str, Any] = {}

        def add_key(key: str) -> None:
            check_key(key, place_of.get(key, place))
            layer[key] = settled(key, stated[key], place_of.get(key, place))

        for key in stated:
            self._try((key,), add_key, key)
        self._try(("lr_multipliers",), expand_old_keys, layer, place)
        for key, sentence in call_faults(layer, place).items():
            self.note((key,), sentence)
        self._try(("loss", "margin_list"), expand_loss, layer, place)
        self.cfg.update(from_folder(layer, folder))
        self.places.update({key: place_of.get(key, place) for key in layer})

    def check_together(self, require_data: bool) -> None:
        if not self.cfg.phases:
            self.findings += contradictions(self.cfg, self.places, require_data, self._faulty)
        elif not self.findings:
            self._try(("phases",), settle_phases, self.cfg, self.places, require_data)
        if require_data and not self.findings:
            self._try(("teacher",), check_teacher, self.cfg, self.places)

    def _try(self, keys: Sequence[str], check: Callable[..., None], *arguments: Any) -> None:
        try:
            check(*arguments)
        except UserError as error:
            self.note(keys, str(error))

    def note(self, keys: Sequence[str], sentence: str) -> None:
        """Adds a finding on the keys."""
        self.findings.append(sentence)
        self._faulty.update(keys)


def _stated(file: Path) -> tuple[dict, dict[str, str]]:
    """What a file states, and where what it takes from elsewhere was stated.

    InsightFace's loaders put the `base.py` beside a file below it: so it is if the file, or that one, is InsightFace's.
    What lies there may be anybody's, so it is read before it is executed.
    """
    stated, base = run_config_file(file), file.with_name(BASE_FILE.name)
    if not base.is_file() or base.samefile(file) or base.samefile(BASE_FILE):
        return stated, {}
    written = written_keys(base)
    if written is None or not (is_insightface(stated) or is_insightface(written)):
        return stated, {}
    names = {RENAMED.get(key, key) for key in stated}
    below = {key: value for key, value in run_config_file(base).items() if RENAMED.get(key, key) not in names}
    return {**below, **stated}, dict.fromkeys(below, f"in {show_path(base)}")


def _readable(typed: dict[str, str]) -> dict[str, Any]:
    """The values of a command line that can be read; the others have a finding of their own."""
    values = {}
    for key, text in typed.items():
        with suppress(UserError):
            values[key] = settle_text(key, text, _COMMAND_LINE)
    return values
