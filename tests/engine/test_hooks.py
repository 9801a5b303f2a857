"""What the hooks do around steps, with a trainer that only says where it is."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from engine import hooks
from engine.hooks import Checkpoints, Progress, Verification


class Log(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def logger(log):
    logger = logging.Logger("hooks", logging.INFO)
    logger.addHandler(log)
    return logger


def trainer_at(step, **changed):
    phase = SimpleNamespace(
        stop=12, number=0, global_batch=10,
        rate=lambda step: (step + 1) / 1000, epoch=lambda step: step // 4, ends_epoch=lambda step: step % 4 == 0,
    )  # fmt: skip
    runtime = SimpleNamespace(is_main=True, rank=0, ranks=1, device="cpu", gather_rows=None)
    trainer = SimpleNamespace(
        step=step, total_steps=12, finished=step == 12, phase=phase, phases=[phase], losses={"loss": 1.5}, loss=1.5,
        best=0.0, best_step=0, best_of={}, paused=nullcontext, clock=SimpleNamespace(seconds=0.0), runtime=runtime,
        train_step=SimpleNamespace(skipped=0, accuracy=None), backbone_state=lambda: {"w": step},
        cfg=SimpleNamespace(fp16=False, network="r18", embedding_size=8, val_batch_size=4),
    )  # fmt: skip
    vars(trainer).update(changed)
    return trainer


def test_progress_says_the_rate_and_the_epoch_of_the_step_that_was_done(monkeypatch, logger, log):
    monkeypatch.setattr(hooks, "mean_loss", lambda losses, *_: sum(losses) / len(losses))
    monkeypatch.setattr(hooks.sys, "stdout", SimpleNamespace(isatty=lambda: False))
    added = {}
    progress = Progress(4, logger, SimpleNamespace(add=added.__setitem__))
    trainer = trainer_at(0)
    progress.on_start(trainer)
    for step in range(1, 9):
        trainer.step, trainer.clock.seconds = step, step * 2.0
        trainer.losses = {"loss": float(step)}
        progress.after_step(trainer)
    assert len(log.lines) == 2
    assert "Speed 5.00 samples/sec   Loss 2.5000   LearningRate 0.004000   Epoch: 0   Global Step: 4/12" in log.lines[0]
    assert "Loss 6.5000   LearningRate 0.008000   Epoch: 1   Global Step: 8/12   Required: 8 seconds" in log.lines[1]
    assert added[8]["train/learning_rate"] == 0.008 and added[8]["train/loss"] == 6.5
    progress.on_end(trainer)
    assert len(log.lines) == 2  # no step since


@pytest.fixture
def verified(monkeypatch, logger):
    """(accuracies by set) -> the trainer after as many verifications, at steps 2, 4, ..."""
    monkeypatch.setattr(hooks, "Embedder", lambda *_: SimpleNamespace(load=lambda state: None))
    monkeypatch.setattr(hooks, "image_shape", lambda cfg: (112, 112, 3))
    monkeypatch.setattr(hooks, "own_format", lambda shape: None)
    monkeypatch.setattr(hooks, "describe", lambda *_: [])

    def verified(accuracies, trainer=None):
        left = {name: list(each) for name, each in accuracies.items()}
        sets = {name: name for name in accuracies}
        monkeypatch.setattr(
            hooks, "verify_set", lambda _, name, *args, **kwargs: SimpleNamespace(accuracy=left[name].pop(0), tar=0.5)
        )
        trainer = trainer or trainer_at(0)
        hook = Verification(sets, 2, logger, None)
        hook.on_start(trainer)
        for _ in range(2 * len(next(iter(accuracies.values())))):
            trainer.step += 1
            hook.after_step(trainer)
        assert not any(left.values())
        return trainer

    return verified


def test_the_best_is_that_of_the_first_set(verified):
    trainer = verified({"one": [0.5, 0.7, 0.6], "two": [0.9, 0.8, 0.95]})
    assert (trainer.best, trainer.best_step) == (0.7, 4)
    assert trainer.best_of == {"one": (0.7, 4), "two": (0.95, 6)}


def test_an_equal_one_is_no_better(verified):
    assert verified({"one": [0.7, 0.7]}).best_step == 2


def test_the_best_of_before_is_beaten_or_stays(verified):
    before = {"best": 0.65, "best_step": 1}
    assert verified({"one": [0.5, 0.6]}, trainer_at(0, **before)).best_step == 1
    assert verified({"one": [0.5, 0.7]}, trainer_at(0, **before)).best_step == 4


@pytest.fixture
def saved(monkeypatch, logger, tmp_path):
    """A hook that saves each third step, and what it saves: "checkpoint", or the folder of a backbone."""
    done = []
    monkeypatch.setattr(hooks, "mean_loss", lambda *_: 1.5)
    monkeypatch.setattr(hooks, "image_shape", lambda cfg: (112, 112, 3))
    monkeypatch.setattr(hooks, "own_format", lambda shape: None)
    monkeypatch.setattr(hooks, "save_run", lambda trainer, state: done.append("checkpoint"))
    monkeypatch.setattr(
        hooks, "save_backbone", lambda folder, state, *_, **about: done.append(str(folder.relative_to(tmp_path)))
    )

    def saved(hook, step, **changed):
        done.clear()
        hook.after_step(trainer_at(step, output=tmp_path, **changed))
        return list(done)

    return saved


@pytest.mark.parametrize(
    ("step", "changed", "wanted"),
    [
        (2, {}, []),
        (3, {}, ["checkpoint"]),
        (4, {}, ["checkpoint", "."]),  # an epoch's end
        (5, {"best_step": 5, "best_of": {"one": (0.5, 5)}}, ["checkpoint", "best"]),
        (5, {"best_step": 2, "best_of": {"one": (0.5, 2), "two": (0.5, 5)}}, ["best/two"]),
        (
            8,
            {"best_step": 8, "best_of": {"one": (1, 8), "two": (1, 8)}},
            ["checkpoint", ".", "best", "best/one", "best/two"],
        ),
    ],
)
def test_when_a_run_is_saved(saved, logger, step, changed, wanted):
    assert saved(Checkpoints(3, True, logger), step, **changed) == wanted


def test_without_states_only_models_are_saved(saved, logger):
    assert saved(Checkpoints(3, False, logger), 4) == ["."]
    assert saved(Checkpoints(0, True, logger), 3) == []


def test_other_ranks_write_no_models(saved, logger):
    other = SimpleNamespace(is_main=False)
    assert saved(Checkpoints(3, True, logger), 4, runtime=other) == ["checkpoint"]


def test_what_could_not_be_saved_is_said_and_tried_again_at_the_end(saved, monkeypatch, logger, log, tmp_path):
    hook, tries = Checkpoints(3, True, logger), []

    def full(trainer, state):
        tries.append(trainer.step)
        raise OSError(28, "No space left on device")

    works = hooks.save_run
    monkeypatch.setattr(hooks, "save_run", full)
    assert saved(hook, 3) == [] and not hook.saved
    assert "Could not save at step 3" in log.lines[-1] and "No space left" in log.lines[-1]
    hook.on_end(trainer_at(3, output=tmp_path))
    assert tries == [3, 3] and not hook.saved
    monkeypatch.setattr(hooks, "save_run", works)
    hook.on_end(trainer_at(3, output=tmp_path))
    assert hook.saved
    monkeypatch.setattr(hooks, "save_run", full)
    hook.on_end(trainer_at(3, output=tmp_path))  # it is saved already
    assert tries == [3, 3] and hook.saved
