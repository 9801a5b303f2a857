"""Start the ranks of a training run; `train_graph_distributed.sh` and `train_ddp.sh` call it.

The config is read here first, so that its mistakes and notices are reported once, and before anything is started.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from launch.epoch_signal import hold_epoch_signal
from launch.gpu import usable_cards
from launch.launcher import CPU_RANKS, layout_options, read_layout
from launch.launcher import main as launch
from tracking.packages import check_trackers
from utils.cli import run_cli
from utils.config import dump_config, load_config
from utils.config.arguments import Training, parse_training, show_notice
from utils.config.file import REPO, find_config, show_path
from utils.config.rules import NO_CARD, check_device, refusal
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.reading.limits import limit_options, limits


def main(arguments: list[str]) -> int:
    hold_epoch_signal()
    training = parse_training(arguments, "train_graph_distributed.sh")
    if training.print_config:
        return print_config(training)
    loaded = training.read()
    show_notice(loaded)
    demo = not loaded.cfg.synthetic and _is_demo(training.config, loaded.cfg)
    if training.print_phases or training.dry_run:
        if demo and not Path(loaded.cfg.ofrecord_path, "dataset.json").exists():
            raise UserError("the demo's faces are not drawn yet; a run draws them first, or tools/prepare_demo.py does")
        check_trackers(loaded.cfg)
        plan(training, loaded.cfg)
        return 0
    if findings := list(_not_here(loaded.cfg, drawn=demo)):
        raise refusal(findings)
    prepare = ["--prepare", str(REPO / "tools/prepare_demo.py")] if demo else []
    if sys.stderr.isatty():
        print(f"Starting {show_path(find_config(training.config))} ...", file=sys.stderr, flush=True)
    return launch([*prepare, str(REPO / "train.py"), *arguments, *limit_options(limits())], os.environ)


def _is_demo(config: str, cfg) -> bool:
    """Whether the run is on the demo's faces, which are drawn if they are not there; and not on data given for them."""
    file = REPO / "configs/demo.py"
    if not find_config(config).samefile(file):
        return False
    return Path(cfg.ofrecord_path).resolve() == Path(load_config(file).ofrecord_path).resolve()


def _not_here(cfg, drawn: bool) -> Iterator[str]:
    """What the ranks would find seconds later: a device, a package or data that are missing. drawn: they will be."""
    usable, _ = usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))
    device = "cuda" if usable and cfg.device != "cpu" else "cpu"
    if cfg.device == "cuda" and not usable:
        yield NO_CARD
    for check in (lambda: check_device(cfg, device), lambda: check_trackers(cfg)):
        try:
            check()
        except UserError as error:
            yield str(error)
    if not drawn and not cfg.synthetic and not Path(cfg.ofrecord_path, "dataset.json").exists():
        made = "tools/prepare_dataset.py makes a dataset, and tools/index_ofrecord.py one of parts that are there"
        yield f"{Path(cfg.ofrecord_path, 'dataset.json')} is missing: {made}."
    folder = Path(cfg.val_path or cfg.ofrecord_path or "")
    if not (drawn and folder == Path(cfg.ofrecord_path)):
        missing = [f"{name}.bin" for name in cfg.val_targets if not (folder / f"{name}.bin").exists()]
        if missing:
            yield f"{', '.join(missing)} of val_targets: not in {folder}; val_path says where the sets are."


def plan(training: Training, cfg) -> None:
    """The phases, and for --dry_run the rest, of the run that the variables of the environment describe."""
    usable, _ = usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))
    layout = read_layout(layout_options(os.environ), len(usable) or CPU_RANKS)
    for name in layout.environment(0):
        os.environ.pop(name, None)  # or OneFlow waits for the other ranks when it is imported
    if cfg.cpu_kernels:
        choose_blas_kernels(os.environ)
    from planning.rehearsal import rehearse, show_plan

    ranks = layout.nproc * layout.nnodes
    if training.print_phases:
        show_plan(cfg, ranks)
    if training.dry_run:
        device = cfg.device if cfg.device != "auto" else "cuda" if usable else "cpu"
        rehearse(training.config, training.typed, cfg, ranks, layout.nproc, device)


def print_config(training: Training) -> int:
    """The resolved config on stdout, as a file that can be trained on; what there is to say of it on stderr."""
    loaded = training.read(require_data=False)
    said = [loaded.notice] if loaded.notice else []
    try:
        training.read()
    except UserError as error:
        said.append(f"It cannot be trained as it is: {error}")
    print("\n".join(said), end="\n" if said else "", file=sys.stderr, flush=True)
    print(dump_config(loaded.cfg, loaded.places), end="")
    return 0


if __name__ == "__main__":
    run_cli(main)
