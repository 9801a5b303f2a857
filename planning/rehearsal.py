"""What a run would do, without doing it: its phases, and with --dry_run all it needs, its memory and its time."""

import time
from collections.abc import Sequence
from pathlib import Path

from backbones.without_values import without_values
from data.manifest import Manifest
from data.stored_size import network_size
from data.verify import verify_parts
from deploy.teacher import find_teacher
from engine.network import configured_segments, make_backbone
from engine.phase import Phase, make_phases
from engine.phase_step import check_phase
from engine.plan import describe_plan
from evaluation.embed import load_bin_sets
from planning.measure import OutOfMemory, measure
from planning.memory import show_bytes, total
from planning.options import Planner
from utils.config.file import find_config
from utils.config.phases import distills
from utils.config.rules import check_device
from utils.durations import duration
from utils.errors import UserError
from utils.files import refuse_unwritable

_STEPS = 3  # timed


def plan_run(cfg, ranks: int) -> tuple[list[Phase], int]:
    """The phases of a run from the beginning on so many ranks, and the images of its dataset.

    Raises UserError for a dataset that is not whole, or smaller than a global batch, for a teacher that is not there,
    for a network that cannot be trained as the config wants, and for a pattern that no parameter matches.
    """
    num_image = cfg.num_image
    if not cfg.synthetic:
        manifest = Manifest.load(Path(cfg.ofrecord_path))
        manifest.check(Path(cfg.ofrecord_path), num_ranks=ranks, num_classes=cfg.num_classes, num_image=cfg.num_image)
        num_image = manifest.num_records
    if distills(cfg):
        find_teacher(cfg.teacher)
    phases = make_phases(cfg, num_image, ranks)
    with without_values():
        backbone = make_backbone(cfg)
    configured_segments(cfg, backbone)
    for phase in phases:
        check_phase(phase.cfg, backbone, projected=distills(cfg))
    return phases, num_image


def show_plan(cfg, ranks: int) -> None:
    """Prints the phases of a run. Raises UserError as `plan_run`."""
    cfg.image_size = network_size(cfg)
    phases, num_image = plan_run(cfg, ranks)
    print(describe_plan(phases, num_image, ranks))


def rehearse(config: str, overrides: Sequence[str], cfg, ranks: int, here: int, device: str) -> None:
    """Checks what a run of `ranks`, `here` of them on this machine, reads; has it compiled and a few steps of it timed,
    on random images; prints what was seen and what the run would take. Writes nothing.

    overrides: as typed. device: "cuda" or "cpu". Raises UserError for what the run would be refused for, and if it does
    not fit into memory.
    """
    check_device(cfg, device)
    _check_paths(cfg)
    cfg.image_size = network_size(cfg)
    phases, num_image = plan_run(cfg, ranks)
    classes = cfg.num_classes
    if not cfg.synthetic:
        folder, manifest = Path(cfg.ofrecord_path), Manifest.load(cfg.ofrecord_path)
        classes = manifest.num_classes
        verify_parts(folder, manifest, cfg.verify_data)
        _say("data", f"{folder}: {num_image:,} images of {classes:,} identities in {len(manifest.parts)} parts")
    if cfg.val_targets:
        sets = load_bin_sets(cfg.val_targets, Path(cfg.val_path or cfg.ofrecord_path))
        pairs = ", ".join(f"{name} ({len(images.issame):,} pairs)" for name, images in sets.items())
        _say("verification", pairs)
    steps, batch = phases[-1].stop, phases[0].global_batch
    epochs = phases[-1].epoch(steps - 1) + 1
    _say("steps", f"{steps:,} in {epochs} epoch(s), {batch:,} images each, on {ranks} {device} rank(s)")
    predicted = Planner(cfg, ranks, device).predict(classes)
    card = f", {show_bytes(predicted.card_total)} on its card" if device == "cuda" else ""
    _say("memory", f"{show_bytes(predicted.host_total)} for each rank{card}; this machine has {show_bytes(total())}")
    fixed = [f"num_classes={classes}", f"image_size={cfg.image_size}", f"graph={cfg.graph}"]
    start = time.perf_counter()
    taken = measure(find_config(config), [*overrides, *fixed], here, _STEPS)
    if isinstance(taken, OutOfMemory):
        raise UserError(f"a step does not fit into memory ({taken.reason}); tools/plan_memory.py says what does")
    seconds = time.perf_counter() - start
    _say("compiled", f"{here} rank(s), with {_STEPS + 1} steps in {seconds:.0f} s; up to {show_bytes(taken.peak)} each")
    rate = batch / ranks * here / taken.step_seconds
    _say(
        "time", f"{taken.step_seconds:.3g} s a step, {rate:,.0f} images/s here: {duration(steps * taken.step_seconds)}"
    )
    print("Nothing was trained, and nothing was written. Verifications and checkpoints come on top.")


def _check_paths(cfg) -> None:
    """Raises UserError for weights or a checkpoint that are not there, and an output that cannot be written."""
    for key in ("pretrained", "pretrained_head", "resume"):
        if isinstance(cfg[key], str) and not Path(cfg[key]).exists():
            raise UserError(f"{key}={cfg[key]} is not there")
    refuse_unwritable(Path(cfg.output), f"output={cfg.output}")


def _say(name: str, words: str) -> None:
    print(f"{name:<13} {words}", flush=True)
