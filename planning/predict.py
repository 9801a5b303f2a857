"""How much memory a rank will hold, by part, without running it.

What the compiled step holds is read from its job (planning/job.py). On a CPU OneFlow 0.9.0 gives every tensor of the
job memory of its own for the whole run (intra_job_mem_sharing_util.cpp leaves CPUs out), so the sum counts; on a card
tensors share memory, so those alive at the worst moment count. The constants below were measured on a CPU, each by
runs that differ in one thing only; tests/benchmarks/bench_plan.py compares the sum with real runs.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from engine.network import image_shape
from heads.build import kept_bytes, row_shape, store_class
from heads.sampling import ClassSampler
from losses import configured_loss
from optim import configured_head_optimizer
from planning.job import Blob, Job

_MB = 10**6

_PROCESS = 73 * _MB  # Python and OneFlow, after start_runtime
_KERNELS = 6 * _MB  # what the kernels of native/ add to it, with their first forty convolutions
_RUNTIME = 24 * _MB  # what the first compiled step adds, whatever its size: threads, actors, heaps
_OPERATOR = 145_000  # per operator of the job, built and compiled (chains of 10 to 1216 operators: 139 to 148 kB)
_INITIALIZED = 0.23  # of the weights: heap that their random initial values leave behind (r18, r50, mbf_tiny)
_IMAGE_COPIES = 1  # of a rank's batch: that of the step before, which its tensor still holds
_SYNTHETIC_BATCHES = 4
_CONNECTED = 30 * _MB  # for several ranks: connections, and the operators that only the compiled job has
_EXCHANGED = 2.2  # gradients are summed in (ranks + this) times their size (2 and 3 ranks on a CPU; NCCL needs none)
_SAMPLING_BYTES = 64  # per sampled class: its row, its slot, and the draws they come from, as int64
_CONTEXT = 600 * _MB  # of a card, assumed: what the libraries take before the first tensor


@dataclass(frozen=True)
class Prediction:
    """Bytes by part of one rank, on the host and on its card; files: of class centers on disk, of all ranks."""

    host: dict[str, int]
    card: dict[str, int]
    files: int

    @property
    def host_total(self) -> int:
        return sum(self.host.values())

    @property
    def card_total(self) -> int:
        return sum(self.card.values())


def predict(cfg, num_classes: int, ranks: int, device: str, job: Job) -> Prediction:
    """What a rank of `ranks` holds while training `num_classes` with `cfg`; job: `read_job` of the same."""
    host: dict[str, float] = defaultdict(float)
    card: dict[str, float] = defaultdict(float)
    device_parts = card if device == "cuda" else host
    host["Python and OneFlow"] = _PROCESS + (_KERNELS if job.native else 0)
    host["operators of the step"] = _RUNTIME + _OPERATOR * job.operators
    batches = _SYNTHETIC_BATCHES if cfg.synthetic else cfg.prefetch + cfg.num_workers
    images = cfg.batch_size * cfg.gradient_acc * math.prod(image_shape(cfg))
    host["images"] = (batches + _IMAGE_COPIES) * images

    columns = columns_of(cfg, num_classes, ranks)
    for part, size in _step_parts(job.blobs, columns, device, cfg.fp16).items():
        device_parts[part] += size
    if device == "cpu":
        host["backbone weights"] *= 1 + _INITIALIZED
    else:
        card["CUDA, cuDNN, cuBLAS"] = _CONTEXT
    if ranks > 1 and device == "cpu":
        device_parts["exchange between ranks"] += _CONNECTED + (ranks + _EXCHANGED) * device_parts["backbone gradients"]

    rows = -(-num_classes // ranks) if cfg.model_parallel else num_classes
    store, places = store_class(cfg, device), {"host": host, "device": device_parts, "files": defaultdict(float)}
    for name, size in kept_bytes(cfg, rows).items():
        places[store.place][f"head {name}"] += size
    sampled, sample = columns < rows, columns * row_shape(cfg).size * 4
    if sampled:
        host["sampling"] = columns * _SAMPLING_BYTES
    for share in store.besides(configured_head_optimizer(cfg), sample, sampled, device == "cuda"):
        places[share.place][share.part] += share.bytes
    if configured_loss(cfg).means_rate is not None:
        host["class means"] = -(-num_classes // ranks) * cfg.embedding_size * 4
    files = sum(places["files"].values()) * ranks
    return Prediction({k: int(v) for k, v in host.items()}, {k: int(v) for k, v in card.items()}, int(files))


def columns_of(cfg, num_classes: int, ranks: int) -> int:
    """The class columns of a rank in each step."""
    global_batch = cfg.batch_size * cfg.gradient_acc * ranks
    ranks = ranks if cfg.model_parallel else 1
    return max(ClassSampler(num_classes, ranks, 0, cfg.sample_rate, global_batch, cfg.seed).counts)


def _step_parts(blobs: list[Blob], columns: int, device: str, half: bool) -> dict[str, float]:
    parts: dict[str, float] = defaultdict(float)
    for blob in blobs if device == "cpu" else _alive_at_worst(blobs, columns):
        size = blob.bytes(columns)
        if half and blob.part == "activations":
            size /= 2
        parts[blob.part] += size
        if half and blob.part == "backbone weights":
            parts[blob.part] += size / 2  # the float16 copies that AMP works with
    return parts


def _alive_at_worst(blobs: list[Blob], columns: int) -> list[Blob]:
    """Those that hold memory at the moment when together they hold most."""
    changes: dict[int, float] = defaultdict(float)
    for blob in blobs:
        if not blob.kept:
            changes[blob.born] += blob.bytes(columns)
            changes[blob.last + 1] -= blob.bytes(columns)
    worst, most, held = 0, 0.0, 0.0
    for moment in sorted(changes):
        held += changes[moment]
        if held > most:
            worst, most = moment, held
    return [blob for blob in blobs if blob.kept or blob.born <= worst <= blob.last]
