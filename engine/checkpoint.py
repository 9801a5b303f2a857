"""All that a run is, in a folder: written whole or not at all, read by any number of ranks.

checkpoints/step-00001200/
    checkpoint.json             step, ranks, seed, best score; size and checksum of every other file
    backbone.safetensors        weights, BatchNorm statistics averaged over the ranks (+ config.json: a model)
    optimizer.safetensors       the backbone's momentum, and what else the compiled step keeps
    rank-00000.safetensors      that rank's rows of the class centres and their momentum; its BatchNorm statistics
"""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np

from deploy.weights import WEIGHTS, save_backbone
from utils.errors import UserError
from utils.runtime import Runtime
from utils.tensor_file import open_tensors, read_tensors, write_tensors

_PREFIX, _DESCRIPTION = "step-", "checkpoint.json"


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"{_PREFIX}{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and not path.name.endswith(".partial"))


def save_checkpoint(
    folder: Path,
    about: dict,
    backbone: dict[str, np.ndarray],
    optimizer: dict[str, np.ndarray],
    rank_tensors: dict[str, np.ndarray],
    runtime: Runtime,
    keep: int,
) -> Path:
    """Writes `folder/step-N` (N = about["step"]) and drops all but the newest `keep`. A collective.

    about: plain values, with step, network, embedding_size. Every rank writes its own `rank_tensors`; rank 0 the rest.
    Raises OSError on every rank where any of them could not write (a full disk); what stood before still stands.
    """
    target = checkpoint_path(folder, about["step"])
    partial = target.with_name(target.name + ".partial")
    if runtime.is_main:
        shutil.rmtree(partial, ignore_errors=True)
    failure = _attempt(lambda: partial.mkdir(parents=True, exist_ok=True), runtime)
    if failure is None:
        failure = _attempt(lambda: _write_rank(partial, runtime.rank, rank_tensors), runtime)
    if failure is None:
        failure = _attempt(lambda: runtime.is_main and _finish(partial, target, about, backbone, optimizer), runtime)
    if failure is not None:
        if runtime.is_main:
            shutil.rmtree(partial, ignore_errors=True)
        raise failure
    if runtime.is_main:
        for old in list_checkpoints(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _attempt(write, runtime: Runtime) -> OSError | None:
    """Runs `write`; the error, on every rank, where it failed on any of them."""
    error = None
    try:
        write()
    except OSError as found:
        error = found
    failed = runtime.sum_over_ranks(np.array([error is not None], np.float32))[0]
    return error or (OSError("another rank could not write its share") if failed else None)


def _write_rank(partial: Path, rank: int, tensors: dict[str, np.ndarray]) -> None:
    name = f"rank-{rank:05d}.safetensors"
    seal = write_tensors(partial / name, tensors)
    (partial / f"{name}.json").write_text(json.dumps(seal))


def _finish(partial: Path, target: Path, about: dict, backbone: dict, optimizer: dict) -> None:
    files = {}
    for seal in partial.glob("rank-*.json"):
        files[seal.stem] = json.loads(seal.read_text())
        seal.unlink()
    files["optimizer.safetensors"] = write_tensors(partial / "optimizer.safetensors", optimizer)
    weights = save_backbone(partial, backbone, about["network"], about["embedding_size"])
    for path in (weights, weights.with_name("config.json")):
        files[path.name] = _seal(path)
    with open(partial / _DESCRIPTION, "w") as file:
        json.dump({**about, "files": files}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _seal(path: Path) -> dict:
    """Size and checksum of a file."""
    checksum = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 24):
            checksum = zlib.crc32(chunk, checksum)
    return {"bytes": path.stat().st_size, "crc32": checksum}


class Checkpoint:
    """A checkpoint to resume from. Opening it checks every file's size and checksum.

    Raises UserError naming the first file that is missing, truncated or altered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.about = json.loads((folder / _DESCRIPTION).read_text())
            files = self.about["files"]
        except (OSError, ValueError, KeyError):
            raise UserError(f"{folder} is not a whole checkpoint: {_DESCRIPTION} is missing or damaged") from None
        for name, seal in files.items():
            if not (folder / name).is_file() or _seal(folder / name) != seal:
                raise UserError(f"{folder} is not a whole checkpoint: {name} is missing, truncated or altered")

    def backbone(self) -> dict[str, np.ndarray]:
        return read_tensors(self.folder / WEIGHTS)

    def optimizer(self) -> dict[str, np.ndarray]:
        return read_tensors(self.folder / "optimizer.safetensors")

    def rank_statistics(self, rank: int) -> dict[str, np.ndarray]:
        """The BatchNorm statistics that this rank itself had gathered."""
        prefix = "statistics."
        with open_tensors(self.folder / f"rank-{rank:05d}.safetensors") as file:
            return {name[len(prefix) :]: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118

    def head_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of a head tensor, from the shards of however many ranks wrote it."""
        parts, first = [], 0
        for shard in sorted(self.folder.glob("rank-*.safetensors")):
            with open_tensors(shard) as file:
                if name not in file.keys():  # noqa: SIM118
                    continue
                rows = file.get_slice(name)
                last = first + rows.get_shape()[0]
                if first < stop and start < last:
                    parts.append(rows[max(start - first, 0) : min(stop, last) - first])
                first = last
        return np.concatenate(parts)


def newest_checkpoint(folder: Path, warn) -> Checkpoint | None:
    """The newest whole checkpoint of a run; each damaged one on the way is told to `warn(sentence)`."""
    for path in reversed(list_checkpoints(folder)):
        try:
            return Checkpoint(path)
        except UserError as error:
            warn(f"{error}; trying the one before it")
    return None
