"""Trains one run: `python train.py [CONFIG] [--graph | --eager] [key=value ...]`, one process per rank.

The launcher scripts start as many processes as there are ranks; started alone it trains on one.
"""

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

from utils.environment import enter_environment

enter_environment()

from data.stored_size import network_size
from launch.epoch_signal import hold_epoch_signal
from launch.rendezvous import wait_for_first_rank
from tracking.packages import check_trackers
from utils.cli import run_cli
from utils.config import dump_config, format_config
from utils.config.arguments import Training, parse_training, show_notice
from utils.config.file import REPO
from utils.config.rules import check_device, teacher_in_step, uses_teacher
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.quiet import drain


def read(training: Training):
    """The resolved config of the command line, and what there is to say about an InsightFace file."""
    loaded = training.read()
    if "RANK" not in os.environ:  # else the script that started the ranks has shown it
        show_notice(loaded)
    loaded.cfg.image_size = network_size(loaded.cfg)
    return loaded.cfg, loaded.notice


def build_loader(cfg, runtime):
    """Where the run's batches come from; see data/loader.py."""
    from data.loader import RecordLoader, SyntheticLoader
    from data.samplers import configured_sampler
    from deploy.teacher import find_teacher, open_teacher
    from engine.network import image_shape

    batch_size = cfg.batch_size * cfg.gradient_acc
    brings_teacher = uses_teacher(cfg) and not teacher_in_step(cfg)
    teacher = None
    if brings_teacher and not cfg.synthetic:
        teacher = open_teacher(find_teacher(cfg.teacher), Path(cfg.ofrecord_path), image_shape(cfg))
    share = {"rank": runtime.rank, "ranks": runtime.ranks, "seed": cfg.seed, "image_shape": image_shape(cfg)}
    if cfg.synthetic:
        teacher_size = cfg.embedding_size if brings_teacher else None
        return SyntheticLoader(cfg.num_classes, cfg.num_image, batch_size, **share, teacher_size=teacher_size)
    return RecordLoader(
        cfg.ofrecord_path,
        batch_size,
        **share,
        random_flip=cfg.random_flip,
        augment=cfg.augment,
        sampler=configured_sampler(cfg),
        gradient_acc=cfg.gradient_acc,
        teacher=teacher,
        num_workers=cfg.num_workers,
        prefetch=cfg.prefetch,
        num_classes=cfg.num_classes,
        num_image=cfg.num_image,
        verify_data=cfg.verify_data,
    )


def find_checkpoint(cfg, runtime, logger):
    """The checkpoint that `cfg.resume` asks for (True: the newest whole one of the output), or None.

    Written by another number of ranks, it keeps its global batch, so that its steps and schedule mean the same:
    `cfg.batch_size` changes. A collective.
    """
    from engine.checkpoint import Checkpoint, newest_checkpoint
    from engine.identity import keep_global_batches

    if not cfg.resume:
        return None
    if cfg.resume is True:
        checkpoint = newest_checkpoint(Path(cfg.output, "checkpoints"), runtime, logger.warning)
    else:
        checkpoint = Checkpoint(Path(cfg.resume), runtime)
    if checkpoint is None:
        logger.info(f"Nothing to resume in {cfg.output}: starting from the beginning")
        return None
    logger.info(f"Resuming from {checkpoint.folder}, written by {checkpoint.about['ranks']} ranks")
    if checkpoint.note:
        logger.info(checkpoint.note)
    if keep_global_batches(cfg, checkpoint, runtime.ranks):
        kept = checkpoint.about["global_batch"]
        logger.info(f"batch_size is now {cfg.batch_size}, to keep the global batch of {kept}")
    return checkpoint


def start_output(output: Path, cfg, step: int, logger) -> None:
    """The run's folder with its resolved config and log, its checkpoints of an earlier course set aside.

    Raises UserError where it cannot be written.
    """
    from engine.checkpoint import set_aside_later
    from utils.files import write_whole
    from utils.folders import hold_folder
    from utils.logging import add_file

    try:
        output.mkdir(parents=True, exist_ok=True)
        hold_folder(output)
        write_whole(output / "config.py", dump_config(cfg).encode())
        add_file(logger, output / "training.log")
        aside = set_aside_later(output / "checkpoints", step)
        if step == 0 and (output / "best").exists():
            shutil.rmtree(output / "best.previous", ignore_errors=True)
            (output / "best").rename(output / "best.previous")
    except OSError as error:
        raise UserError(f"output={output} cannot be written: {error.strerror}") from None
    if aside:
        logger.info(f"Earlier checkpoints of this folder are in {aside} now")


def main(arguments: list[str]) -> int:
    fresh = "oneflow" not in sys.modules
    hold_epoch_signal()
    training = parse_training(arguments, "train.py")
    if training.only_shows:
        drain()  # or its output passes through our filter, which is no terminal
        os.environ.update(NPROC=os.environ.get("WORLD_SIZE") or "1", NNODES="1", NODE_RANK="0")
        os.execv(sys.executable, [sys.executable, str(REPO / "tools/start_training.py"), *sys.argv[1:]])
    cfg, notice = read(training)
    check_trackers(cfg)
    if cfg.cpu_kernels:
        choose_blas_kernels(os.environ)
    wait_for_first_rank(os.environ)
    # OneFlow takes seconds to import, so a mistake in the config is reported before.
    from engine.checkpoint import Checkpoint, check_shared
    from engine.epoch_stop import STOP_FILE
    from engine.facts import best_model, run_facts
    from engine.hooks import Checkpoints, Progress, Verification
    from engine.phase_step import trained_with
    from engine.samples import TrainingSamples
    from engine.trainer import Trainer
    from evaluation.embed import load_bin_sets
    from launch.gpu import usable_cards
    from native.library import with_kernels
    from tracking.start import start_records
    from utils.cpu_wait import sleep_while_waiting
    from utils.logging import make_logger
    from utils.runtime import start_runtime

    usable, refused = usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))
    runtime, missing = start_runtime(cfg.device, bool(usable)), ""
    if cfg.cpu_kernels and runtime.device == "cpu":
        runtime, missing = with_kernels(runtime, fresh)
    check_device(cfg, runtime.device)
    sets = {}
    if cfg.val_targets:
        sets = load_bin_sets(cfg.val_targets, Path(cfg.val_path or cfg.ofrecord_path), runtime.rank, runtime.ranks)
    output = Path(cfg.output)
    logger = make_logger(runtime.is_main)
    checkpoint = find_checkpoint(cfg, runtime, logger)
    trainer = Trainer(cfg, runtime, lambda own: build_loader(own, runtime))
    if cfg.cpu_kernels and runtime.device == "cpu" and cfg.graph:
        sleep_while_waiting()
    if checkpoint:
        if note := trainer.resume(checkpoint):
            logger.warning(note)
    else:
        head = Checkpoint(Path(cfg.pretrained_head), runtime) if cfg.pretrained_head else None
        trainer.start_from(Path(cfg.pretrained) if cfg.pretrained else None, head)

    if runtime.is_main:
        start_output(output, cfg, trainer.step, logger)
    if cfg.save_all_states:
        check_shared(output, runtime)
    if trainer.head.margin.advice:
        logger.warning(trainer.head.margin.advice)
    for card in refused:
        logger.warning(card.refusal)
    if missing:
        logger.warning(f"Training is slower without the CPU kernels of native/: {missing}")
    only_file = {"file_only": True}  # the notice was shown before
    logger.info("\n".join([*notice.splitlines(), "Configuration:", format_config(cfg)]), extra=only_file)
    words = trained_with(trainer.phase.cfg)
    logger.info(f"{cfg.network}, {words['loss']}, {words['optimizer']}; the whole config is in {output / 'config.py'}")
    epochs = trainer.phases[-1].epoch(trainer.total_steps)
    logger.info(
        f"{trainer.loaders[0].num_image:,} images of {trainer.num_classes:,} identities; {runtime.ranks} "
        f"{runtime.device} rank(s), global batch {trainer.phase.global_batch:,}, {trainer.total_steps:,} steps in "
        f"{epochs} epoch(s)"
    )

    for note in dict.fromkeys(loader.note for loader in trainer.loaders if loader.note):
        logger.info(note)

    if trainer.finished:
        logger.info(f"The run is complete already; a larger num_epoch or another output starts a new one: {output}")
        return 0
    if runtime.is_main and (output / STOP_FILE).exists():
        logger.warning(f"{output / STOP_FILE} is there: this run ends after its first epoch; remove it to train on")
    saving = Checkpoints(cfg.save_interval, cfg.save_all_states, logger)
    with start_records(output, trainer.step, cfg, logger) if runtime.is_main else nullcontext() as records:
        hooks = [Progress(cfg.frequent, logger, records), Verification(sets, cfg.verbose, logger, records), saving]
        if records:
            records.describe(run_facts(trainer))
            hooks.append(TrainingSamples(records))
        finished = trainer.fit(hooks)
        lost = "" if saving.saved else f"step {trainer.step} could not be saved in {output}"
        if records:
            state = "failed" if lost else "complete" if finished else "stopped"
            records.close(state, lost, best_model(trainer))
    runtime.wait_for_all()  # OneFlow aborts a rank that misses another, as while the main one still writes a model
    if lost:
        raise UserError(f"{lost}; make room there, then use resume=True")
    if trainer.after_epoch and not finished:
        goes_on = "; the same command with resume=True goes on" if cfg.save_all_states else ""
        epoch = trainer.phase.epoch(trainer.step - 1)
        logger.info(
            f"Ended after epoch {epoch}, at step {trainer.step}, as asked{goes_on}. Model and log are in {output}"
        )
        return 0
    if not finished:
        goes_on = "; the same command with resume=True goes on from there" if cfg.save_all_states else ""
        logger.info(f"Stopped at step {trainer.step}{goes_on}")
        return 130
    logger.info(f"Done. Model, log and checkpoints are in {output}")
    return 0


if __name__ == "__main__":
    run_cli(main, hard_exit=True)
