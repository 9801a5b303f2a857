"""The head that a config asks for."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import oneflow as flow

from heads.class_parallel import ClassParallelHead
from heads.sampling import ClassSampler
from heads.shards import shard_range
from heads.softmax import ClassSoftmax
from heads.stores.device import DeviceRows
from heads.stores.host import HostRows
from heads.stores.mapped import MappedRows
from heads.stores.store import RowShape, RowStore, Surroundings, array_kinds
from losses import configured_loss
from optim import Optimizer, configured_head_optimizer
from utils.errors import UserError
from utils.runtime import Runtime

_Softmax = TypeVar("_Softmax", bound=ClassSoftmax)


def build_head(cfg, num_classes: int, global_batch: int, runtime: Runtime, store: RowStore) -> ClassParallelHead:
    """The head of `cfg` over this rank's class centers."""
    ranks, rank = (runtime.ranks, runtime.rank) if cfg.model_parallel else (1, 0)
    sampler = ClassSampler(num_classes, ranks, rank, cfg.sample_rate, global_batch, cfg.seed)
    return _configured(partial(ClassParallelHead, store), cfg, sampler, runtime.placement, runtime.device)


def configured_softmax(cfg, sampler: ClassSampler, placement: flow.placement, device: str) -> ClassSoftmax:
    """The step of the head of `cfg`, without centers. device: "cuda" or "cpu", where it is to run."""
    return _configured(ClassSoftmax, cfg, sampler, placement, device)


def _configured(
    make: Callable[..., _Softmax], cfg, sampler: ClassSampler, placement: flow.placement, device: str
) -> _Softmax:
    loss = configured_loss(cfg)
    return make(
        sampler,
        cfg.embedding_size,
        placement,
        loss.margin,
        filtering=cfg.interclass_filtering_threshold,
        half=cfg.fp16,
        model_parallel=cfg.model_parallel,
        # OneFlow has no float16 products on a CPU: there `half` only scales as it does on a card.
        dtype=flow.float16 if cfg.fp16 and device == "cuda" else flow.float32,
        centers=cfg.centers_per_class,
        smoothing=cfg.label_smoothing,
        weight=loss.weight,
    )


def row_shape(cfg) -> RowShape:
    """What a class has under `cfg`: a center or several, each with a bias behind it if the loss wants one, and the
    loss's parameters.
    """
    margin = configured_loss(cfg).margin
    width = cfg.embedding_size + margin.has_bias + len(margin.parameters)
    shape = (cfg.centers_per_class, width) if cfg.centers_per_class > 1 else (width,)
    return RowShape(shape, margin.normalized, tuple(margin.parameters.values()))


def centers_folder(cfg) -> Path:
    """Where `head_store="mmap"` keeps its files."""
    return Path(cfg.head_store_path or Path(cfg.output, "head_store"))


def row_optimizer(cfg) -> Optimizer:
    """The optimizer of class centers. Raises UserError if it cannot train rows, or not as `cfg` wants it."""
    optimizer = configured_head_optimizer(cfg)
    if not optimizer.row_wise:
        raise UserError(
            f"{optimizer.name} looks at a whole tensor, and class centers train by rows; "
            'write head_optimizer = "adamw" or "sgd"'
        )
    if cfg.correct_skipped and optimizer.catch_up(np.zeros(1, int), 1.0) is None:
        raise UserError(
            f"correct_skipped = True is not possible with {optimizer.name}, whose steps without a gradient have no "
            "closed form; write correct_skipped=False"
        )
    return optimizer


def store_class(cfg, device: str) -> type[RowStore]:
    """Where class centers live. On a CPU the device's memory is the host's."""
    classes = {"mmap": MappedRows, "device": DeviceRows if device == "cuda" else HostRows, "host": HostRows}
    return classes[cfg.head_store]


def build_store(cfg, num_classes: int, runtime: Runtime) -> RowStore:
    """This rank's class centers, where `cfg` keeps them; all of them without model_parallel.

    Raises UserError for files that ranks of several machines would share.
    """
    ranks, rank = (runtime.ranks, runtime.rank) if cfg.model_parallel else (1, 0)
    if cfg.head_store == "mmap" and flow.env.get_node_size() > 1:
        raise UserError('head_store="mmap" is for one machine; on several use head_store="host"')
    return store_class(cfg, runtime.device)(
        *shard_range(num_classes, ranks, rank),
        row_shape(cfg),
        row_optimizer(cfg),
        cfg.head_dtype,
        cfg.seed,
        cfg.correct_skipped,
        surroundings=Surroundings(num_classes, centers_folder(cfg), runtime),
    )


def kept_bytes(cfg, rows: int) -> dict[str, int]:
    """What a store keeps for so many classes, by name, in bytes."""
    kinds = array_kinds(rows, row_shape(cfg), configured_head_optimizer(cfg), cfg.head_dtype, cfg.correct_skipped)
    return {name: math.prod(shape) * np.dtype(dtype).itemsize for name, (dtype, shape) in kinds.items()}


def change_store(store: RowStore, cfg, step: int) -> bool:
    """Has a store go on under another config after `step` steps; returns whether the optimizer's slots go on. A
    collective. May raise UserError.
    """
    return store.change(row_shape(cfg), row_optimizer(cfg), cfg.correct_skipped, step)
