"""What a run must have in common with a checkpoint that it goes on from."""

from fractions import Fraction

from engine.checkpoint import Checkpoint
from engine.network import image_shape
from engine.phase import Phase, phase_at
from engine.phase_step import trained_with
from utils.config.phases import resolve_phases
from utils.errors import UserError
from utils.pixels import USUAL_SHAPE


def run_identity(cfg, num_classes: int, phase: Phase) -> dict:
    """As checkpoints of the phase hold it."""
    return {
        "network": cfg.network,
        "embedding_size": cfg.embedding_size,
        "image_shape": list(image_shape(cfg)),
        "num_classes": num_classes,
        "global_batch": phase.global_batch,
        "steps_per_epoch": phase.steps_per_epoch,
        "seed": cfg.seed,
    }


def phase_of(about: dict, phases: list[Phase]) -> Phase:
    """The phase that wrote a checkpoint: at its very end the step alone would say the next one."""
    step, number = about["step"], about.get("phase", -1)
    written = [phase for phase in phases if phase.number == number and phase.first <= step <= phase.stop]
    return written[0] if written else phase_at(phases, step)


def learned_from(cfg, taught_by: str | None) -> dict[str, str | None]:
    """What a phase takes its images by, and whose embeddings it learns; taught_by: as `Modules` has it."""
    return {"sampler": cfg.sampler, "teacher": cfg.teacher, "teacher_digest": taught_by}


def check_same_run(
    checkpoint: Checkpoint, cfg, num_classes: int, phase: Phase, data: str, taught_by: str | None = None
) -> str | None:
    """Makes sure that a run can go on from a checkpoint, in a phase; returns what the user should know, or None.

    data: the digest of the run's dataset. Raises UserError if it is of another run: other network, classes, global
    batch, data or seed.
    """
    about = checkpoint.about
    for key, wanted in run_identity(cfg, num_classes, phase).items():
        held = about.get(key, list(USUAL_SHAPE))  # checkpoints of before do not state the shape
        if held != wanted:
            raise UserError(
                f"{checkpoint.folder} has {key} {held} but this run has {wanted}; "
                "resume it with the config it was written with"
            )
    now, before = trained_with(phase.cfg), written_with(about, phase)
    notes = [
        _other_data(checkpoint, cfg, data),
        _change(before, now, [key for key in now if now[key] != before[key]], ", whose state begins from scratch"),
        _other_source(about, learned_from(phase.cfg, taught_by)),
    ]
    return ". ".join(note for note in notes if note) or None


def _other_data(checkpoint: Checkpoint, cfg, data: str) -> str | None:
    """Raises UserError if a checkpoint was trained on other data and the config does not say that this is meant."""
    if checkpoint.about.get("data_digest", data) == data:  # those of before do not say
        return None
    if not cfg.resume_on_other_data:
        raise UserError(
            f"{checkpoint.folder} was trained on another dataset than {cfg.ofrecord_path or 'synthetic images'}, "
            "though of the same size; resume it with the dataset it was written with, or say resume_on_other_data=True"
        )
    return "The checkpoint was trained on another dataset; this run goes on with the present one"


def _other_source(about: dict, now: dict[str, str | None]) -> str | None:
    """Of another sampler, or a teacher whose weights are others or, where they are not known, whose name is."""
    before = {key: about.get(key, value) for key, value in now.items()}  # those of before do not say
    known = before["teacher_digest"] and now["teacher_digest"]
    changed = [key for key in ("sampler", "teacher_digest" if known else "teacher") if now[key] != before[key]]
    then, since = _source_words(before), _source_words(now)
    since["teacher_digest"] += ", which is another one"
    return _change(then, since, changed, "")


def _source_words(source: dict[str, str | None]) -> dict[str, str]:
    teacher = f"teacher {source['teacher']}"
    return {"sampler": f"sampler {source['sampler']}", "teacher": teacher, "teacher_digest": teacher}


def _change(before: dict[str, str], now: dict[str, str], changed: list[str], consequence: str) -> str | None:
    if not changed:
        return None
    then, since = (", ".join(part[key] for key in changed) for part in (before, now))
    return f"The checkpoint was trained with {then}; this run goes on with {since}{consequence}"


def written_with(about: dict, phase: Phase) -> dict[str, str]:
    """`trained_with` of what wrote a checkpoint; those of before knew SGD alone, and the oldest no other loss."""
    earlier = {"optimizer": "sgd", "head_optimizer": "sgd", "loss": trained_with(phase.cfg)["loss"]}
    return {key: about.get(key, value) for key, value in earlier.items()}


def check_same_classes(head: Checkpoint, cfg, num_classes: int) -> None:
    """Raises UserError if a run cannot begin with the class centers of a checkpoint."""
    for key, wanted in (("num_classes", num_classes), ("embedding_size", cfg.embedding_size)):
        if head.about[key] != wanted:
            raise UserError(f"pretrained_head={head.folder} has {key} {head.about[key]}, but this run {wanted}")


def keep_global_batches(cfg, checkpoint: Checkpoint, ranks: int) -> bool:
    """Changes the batch sizes of a config, those of its phases too, so that steps take as many images as they did on
    the ranks that wrote a checkpoint; False if there was nothing to change. Raises UserError if they cannot be shared.
    """
    about = checkpoint.about
    phases = resolve_phases(cfg)
    own = phases[min(about.get("phase", 0), len(phases) - 1)]
    change = Fraction(about["global_batch"], own.batch_size * own.gradient_acc * ranks)
    if about["ranks"] == ranks or change == 1:
        return False
    parts = [part for part in (cfg, *cfg.phases) if "batch_size" in part]
    if any((part["batch_size"] * change).denominator > 1 for part in parts):
        raise UserError(
            f"{checkpoint.folder} has a global batch of {about['global_batch']}, which {ranks} ranks with "
            f"gradient_acc={own.gradient_acc} cannot share; use another number of ranks"
        )
    for part in parts:
        part["batch_size"] = int(part["batch_size"] * change)
    return True
