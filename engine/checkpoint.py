"""All that a run is, in a folder: written whole or not at all, read by any number of ranks.

    checkpoints/step-00001200/
        checkpoint.json             step, ranks, best score, config; size and checksum of every other file
        backbone.safetensors        weights, BatchNorm statistics averaged over the ranks (+ config.json: a model)
        optimizer.safetensors       the backbone's momentum, and what else the compiled step keeps
        rank-00000.safetensors      that rank's rows of the class centers, their momentum and running class means; its
                                    BatchNorm statistics

The position in the data and the learning rate follow from the step, the order of the data from config.seed, and what
layers such as dropout draw from both.
"""

import json
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deploy.input_format import own_format
from deploy.weights import DESCRIPTION, WEIGHTS, save_backbone
from engine.checkpoint_description import read_description, sealed_description
from engine.checkpoint_names import MEANS, present_state
from engine.saved_centers import SavedCenters, read_shards
from heads.class_means import ClassMeans
from heads.shards import shard_range
from utils.errors import UserError
from utils.files import make_folder, sync
from utils.pixels import USUAL_SHAPE, ImageShape
from utils.runtime import Runtime
from utils.tensor_file import open_tensors, read_tensors, write_tensors

_PREFIX, _PARTIAL, _ABOUT, _OPTIMIZER = "step-", ".partial", "checkpoint.json", "optimizer.safetensors"
_NAME = re.compile(f"{_PREFIX}[0-9]{{1,18}}")
_BEGUN = re.compile(r".*\.setting_aside-([0-9]{1,18})")  # after which step
_STATISTICS = "statistics."
_APPEARS = 30.0  # seconds until a file that one machine wrote must be seen by another; NFS remembers that long


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first. Folders that are not called step-NUMBER are none."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if _NAME.fullmatch(path.name) and path.is_dir())


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def set_aside_later(folder: Path, step: int) -> Path | None:
    """Moves checkpoints of after `step` out of the way of a run that starts there, in place of those moved before.

    They are of another course of training: a later `resume=True` must not take them for this one's. Returns where
    they are now, or None where there were none. A move that was cut off goes on. Raises OSError.
    """
    later = [path for path in list_checkpoints(folder) if step_of(path) > step]
    collected, begun = folder.with_name(f"{folder.name}.setting_aside-{step}"), _begun_move(folder)
    if begun:
        begun[0].rename(collected)
    elif not later:
        return None
    for path in (folder, collected):
        make_folder(path)
    for path in reversed(later):
        if (collected / path.name).exists():  # after a power cut on a disk that does not rename at once
            shutil.rmtree(path)
        else:
            path.rename(collected / path.name)
    sync(collected)
    sync(folder)
    aside = folder.with_name(folder.name + ".previous")
    if aside.exists():
        shutil.rmtree(aside)
    collected.rename(aside)
    sync(folder.parent)
    return aside


def _begun_move(folder: Path) -> tuple[Path, int] | None:
    """Where `set_aside_later` was collecting checkpoints of `folder` when it was cut off, and of after which step."""
    for path in folder.parent.glob(f"{folder.name}.setting_aside-*"):
        if name := _BEGUN.fullmatch(path.name):
            return path, int(name[1])
    return None


def _finish_move(folder: Path, runtime: Runtime) -> None:
    begun = _begun_move(folder) if runtime.is_main else None
    if begun:
        set_aside_later(folder, begun[1])


def check_shared(folder: Path, runtime: Runtime) -> None:
    """Makes sure that all ranks write into the same folder, by a file that rank 0 makes there. A collective.

    Raises UserError, on every rank, naming those that do not see it in time.
    """
    number = secrets.randbelow(1 << 24) if runtime.is_main else 0
    token = folder / f".seen-by-all-{int(runtime.sum_over_ranks(np.array([number], np.float32))[0])}"
    if runtime.is_main:
        token.touch()
    runtime.sum_over_ranks(np.zeros(1, np.float32))  # now it is there
    deadline = time.monotonic() + _APPEARS
    while not (seen := token.exists()) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = np.zeros(runtime.ranks, np.float32)
    blind[runtime.rank] = not seen
    others = [str(rank) for rank, flag in enumerate(runtime.sum_over_ranks(blind)) if flag]
    if runtime.is_main:
        token.unlink()
    if others:
        raise UserError(
            f"output={folder} is not one folder for all machines: what rank 0 writes there, rank {', '.join(others)} "
            "cannot see; choose one on a disk that they share"
        )


def save_checkpoint(
    folder: Path,
    about: dict,
    backbone: dict[str, np.ndarray],
    optimizer: dict[str, np.ndarray],
    rank_tensors: dict[str, np.ndarray],
    statistics: dict[str, np.ndarray],
    runtime: Runtime,
    keep: int,
    flush: Callable[[], None] = lambda: None,
) -> Path:
    """Writes `folder/step-N` and drops all but the newest `keep` and the best. A collective.

    flush: brings to the disk what this rank keeps in files of its own.

    about: plain values, with step, best_step, network, embedding_size. Every rank writes its own `rank_tensors` and
    BatchNorm `statistics`; rank 0 the rest. No rank holds more than it trains with. Raises OSError, on every rank,
    where any of them could not write (a full disk); what stood before still stands.
    """
    target = folder / f"{_PREFIX}{about['step']:08d}"
    partial = target.with_name(target.name + _PARTIAL)
    own = rank_tensors | {_STATISTICS + name: array for name, array in statistics.items()}

    def begin() -> None:
        if runtime.is_main:
            make_folder(folder)
            _clear(folder)
            partial.mkdir()

    def write_shard() -> None:
        flush()
        name = f"rank-{runtime.rank:05d}.safetensors"
        seal = write_tensors(partial / name, own)
        (partial / f"{name}.json").write_text(json.dumps(seal))

    def finish() -> None:
        if runtime.is_main:
            _write_shared(partial, about, backbone, optimizer)
            if target.exists():  # damaged, or of another course of the same run
                target.rename(target.with_name(target.name + ".replaced" + _PARTIAL))
            partial.rename(target)
            sync(folder)

    for part in (begin, write_shard, finish):
        error = _attempt(part, runtime)
        if error is not None:
            if runtime.is_main:
                shutil.rmtree(partial, ignore_errors=True)
            raise error
    if runtime.is_main:
        _clear(folder)  # of the one that was replaced
        for old in list_checkpoints(folder)[:-keep]:
            if step_of(old) != about["best_step"]:
                shutil.rmtree(old, ignore_errors=True)
    return target


def _clear(folder: Path) -> None:
    """Removes what is not a checkpoint, or not any more."""
    for left in folder.glob(f"*{_PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def _attempt(part: Callable[[], None], runtime: Runtime) -> OSError | None:
    """Does `part` on every rank; the error, on every rank, where it failed on any."""
    error = None
    try:
        part()
    except OSError as caught:
        error = caught
    failed = runtime.sum_over_ranks(np.array([error is not None], np.float32))[0]
    return error or (OSError("another rank could not write its share") if failed else None)


def _write_shared(partial: Path, about: dict, backbone: dict, optimizer: dict) -> None:
    files = {}
    for seal in partial.glob("rank-*.json"):
        files[seal.stem] = json.loads(seal.read_text())
        seal.unlink()
    if len(files) != about["ranks"]:
        raise OSError(f"{len(files)} of {about['ranks']} ranks wrote into {partial}; all nodes must share this folder")
    files[_OPTIMIZER] = write_tensors(partial / _OPTIMIZER, optimizer)
    taken = own_format(ImageShape(*about.get("image_shape", USUAL_SHAPE)))
    save_backbone(partial, backbone, about["network"], about["embedding_size"], taken, step=about["step"])
    files |= {name: _seal(partial / name) for name in (WEIGHTS, DESCRIPTION)}
    with open(partial / _ABOUT, "w") as file:
        file.write(sealed_description({**about, "files": files}))
        file.flush()
        os.fsync(file.fileno())
    sync(partial)


def _seal(path: Path) -> dict:
    """Size and checksum of a file."""
    checksum = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 24):
            checksum = zlib.crc32(chunk, checksum)
        return {"bytes": file.tell(), "crc32": checksum}


class Checkpoint:
    """A checkpoint to resume from. Opening it checks the size and checksum of every file; the ranks share that work.

    note: what a user should know of it, or None. A collective. Raises UserError, on every rank, naming the files that
    are missing, truncated or altered.
    """

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self.folder = folder
        self.about, self.note = read_description(folder / _ABOUT)
        files = self.about["files"]
        wanted = [_OPTIMIZER, WEIGHTS, DESCRIPTION, *(path.name for path in self._shards())]
        if unknown := set(wanted) ^ set(files):
            raise UserError(f"{folder} is not a whole checkpoint: {_ABOUT} does not say what {min(unknown)} is")
        bad = np.zeros(len(files), np.float32)
        for number, (name, seal) in enumerate(files.items()):
            if number % runtime.ranks == runtime.rank:
                path = folder / name
                bad[number] = not path.is_file() or path.stat().st_size != seal["bytes"] or _seal(path) != seal
        damaged = [name for name, flag in zip(files, runtime.sum_over_ranks(bad), strict=True) if flag]
        if damaged:
            raise UserError(f"{folder} is not a whole checkpoint: {', '.join(damaged)} missing, truncated or altered")

    def backbone(self, rank: int, ranks: int) -> dict[str, np.ndarray]:
        """The backbone for a rank: with the BatchNorm statistics that it itself had gathered if `ranks` wrote this."""
        state = read_tensors(self.folder / WEIGHTS)
        if ranks == self.about["ranks"]:
            with open_tensors(self._shard(rank)) as file:
                own = [name for name in file.keys() if name.startswith(_STATISTICS)]  # noqa: SIM118
                state |= {name.removeprefix(_STATISTICS): file.get_tensor(name) for name in own}
        return state

    def state(self) -> dict[str, np.ndarray]:
        """Of the training step, as `TrainStep.state` gives it."""
        return present_state(read_tensors(self.folder / _OPTIMIZER), self.about["step"])

    def centers(self) -> SavedCenters:
        """Raises UserError if they are in files of their own that are gone."""
        return SavedCenters(self.folder, self._shards(), self.about)

    def class_means(self, num_classes: int, runtime: Runtime) -> ClassMeans | None:
        """This rank's, written by any number of ranks; None if there were none. Their rate is to be set."""
        start, stop = shard_range(num_classes, runtime.ranks, runtime.rank)
        rows = read_shards(self._shards(), MEANS, start, stop)
        return None if rows is None else ClassMeans(num_classes, runtime, rows)

    def _shards(self) -> list[Path]:
        return [self._shard(rank) for rank in range(self.about["ranks"])]

    def _shard(self, rank: int) -> Path:
        return self.folder / f"rank-{rank:05d}.safetensors"


def newest_checkpoint(folder: Path, runtime: Runtime, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint of a run; each damaged one on the way is reported by `warn(sentence)`. A collective.

    Before it looks, a `set_aside_later` that was cut off is finished. Raises UserError if that cannot be done, or if
    there are checkpoints and none is whole.
    """
    if error := _attempt(lambda: _finish_move(folder, runtime), runtime):
        raise UserError(f"{folder} cannot be written: {error.strerror or error}")
    checkpoints = list_checkpoints(folder)
    for path in reversed(checkpoints):
        try:
            return Checkpoint(path, runtime)
        except UserError as error:
            warn(f"{error}; trying the one before it")
    if checkpoints:
        raise UserError(f"no checkpoint in {folder} is whole; start again with resume=False")
    return None
