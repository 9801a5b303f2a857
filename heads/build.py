"""The head that a config asks for."""

from pathlib import Path

import oneflow as flow

from heads.class_parallel import ClassParallelHead, shard_range
from heads.device_rows import DeviceRows
from heads.mapped_rows import MappedRows
from heads.row_store import HostRows
from heads.sampled import SampledHead
from heads.sampling import ClassSampler
from heads.sparse_momentum import SparseMomentum
from utils.errors import UserError
from utils.runtime import Runtime


def build_head(cfg, num_classes: int, global_batch: int, runtime: Runtime) -> ClassParallelHead | SampledHead:
    """A head over all classes where `cfg` neither samples them nor stores them apart, else one of sampled classes.

    With `sample_rate` 1.0 and the class centres on the device in float32 it is therefore the full layer itself.
    Raises UserError where float16 centres are asked for on a CUDA device, or files for the ranks of several machines.
    """
    formula = {
        "margins": cfg.margin_list,
        "scale": cfg.logit_scale,
        "gradient": cfg.margin_gradient,
        "filtering": cfg.interclass_filtering_threshold,
    }
    if not samples(cfg):
        fused = runtime.device == "cuda" if cfg.fused_ops == "auto" else cfg.fused_ops
        return ClassParallelHead(
            num_classes,
            cfg.embedding_size,
            runtime.placement,
            **formula,
            model_parallel=cfg.model_parallel,
            fused=cfg.graph and fused,
            seed=cfg.seed,
        )
    store = _build_store(cfg, num_classes, runtime)
    sampler = ClassSampler(num_classes, runtime.ranks, runtime.rank, cfg.sample_rate, global_batch, cfg.seed)
    return SampledHead(store, sampler, cfg.embedding_size, runtime.placement, **formula, half=cfg.fp16)


def samples(cfg) -> bool:
    """Whether `cfg` asks for a `SampledHead`."""
    return cfg.sample_rate < 1 or cfg.head_store != "device" or cfg.head_dtype != "float32"


def centres_folder(cfg) -> Path:
    """Where `head_store="mmap"` keeps its files."""
    return Path(cfg.head_store_path or Path(cfg.output, "head_store"))


def _build_store(cfg, num_classes: int, runtime: Runtime) -> HostRows | DeviceRows:
    start, stop = shard_range(num_classes, runtime.ranks, runtime.rank)
    rule = SparseMomentum(cfg.momentum, cfg.weight_decay, cfg.correct_skipped)
    if cfg.head_store == "mmap":
        if flow.env.get_node_size() > 1:
            raise UserError('head_store="mmap" is for one machine; on several use head_store="host"')
        folder = centres_folder(cfg)
        return MappedRows(folder, num_classes, start, stop, cfg.embedding_size, rule, cfg.head_dtype, cfg.seed)
    if cfg.head_store == "device" and runtime.device == "cuda":
        if cfg.head_dtype != "float32":
            raise UserError('head_dtype="float16" on a card needs head_store="host" or "mmap"')
        return DeviceRows(start, stop, cfg.embedding_size, rule, runtime.device, cfg.seed)
    # On a CPU the device's memory is the host's.
    return HostRows(start, stop, cfg.embedding_size, rule, cfg.head_dtype, cfg.seed)
