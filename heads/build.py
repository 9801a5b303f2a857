"""The head that a config asks for."""

from pathlib import Path

import oneflow as flow

from heads.class_parallel import ClassParallelHead
from heads.device_rows import DeviceRows
from heads.mapped_rows import MappedRows
from heads.row_store import HostRows
from heads.sampling import ClassSampler
from heads.shards import shard_range
from heads.sparse_momentum import SparseMomentum
from losses import configured_margin
from utils.errors import UserError
from utils.runtime import Runtime


def build_head(cfg, num_classes: int, global_batch: int, runtime: Runtime) -> ClassParallelHead:
    """Class centers where `cfg` keeps them, and how many of them a step sees.

    Raises UserError for files that ranks of several machines would share.
    """
    ranks, rank = (runtime.ranks, runtime.rank) if cfg.model_parallel else (1, 0)
    sampler = ClassSampler(num_classes, ranks, rank, cfg.sample_rate, global_batch, cfg.seed)
    store = _build_store(cfg, num_classes, shard_range(num_classes, ranks, rank), runtime.device)
    return configured_head(cfg, store, sampler, runtime.placement, runtime.device)


def configured_head(
    cfg, store: HostRows | DeviceRows | None, sampler: ClassSampler, placement: flow.placement, device: str
) -> ClassParallelHead:
    """The head of `cfg` over a store, or over none for those who only look at its step. device: "cuda" or "cpu", where
    it is to run.
    """
    return ClassParallelHead(
        store,
        sampler,
        cfg.embedding_size,
        placement,
        configured_margin(cfg),
        filtering=cfg.interclass_filtering_threshold,
        half=cfg.fp16,
        model_parallel=cfg.model_parallel,
        # OneFlow has no float16 products on a CPU: there `half` only scales as it does on a card.
        dtype=flow.float16 if cfg.fp16 and device == "cuda" else flow.float32,
    )


def centers_folder(cfg) -> Path:
    """Where `head_store="mmap"` keeps its files."""
    return Path(cfg.head_store_path or Path(cfg.output, "head_store"))


def _build_store(cfg, num_classes: int, shard: tuple[int, int], device: str) -> HostRows | DeviceRows:
    rule = SparseMomentum(cfg.momentum, cfg.weight_decay, cfg.correct_skipped)
    if cfg.head_store == "mmap":
        if flow.env.get_node_size() > 1:
            raise UserError('head_store="mmap" is for one machine; on several use head_store="host"')
        folder = centers_folder(cfg)
        return MappedRows(folder, num_classes, *shard, cfg.embedding_size, rule, cfg.head_dtype, cfg.seed)
    if cfg.head_store == "device" and device == "cuda":
        return DeviceRows(*shard, cfg.embedding_size, rule, device, cfg.seed, cfg.head_dtype)
    # On a CPU the device's memory is the host's.
    return HostRows(*shard, cfg.embedding_size, rule, cfg.head_dtype, cfg.seed)
