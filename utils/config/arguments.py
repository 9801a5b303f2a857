"""The command line of programs that take a config: `[CONFIG] [key=value ...]`, and of training."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from utils.config.load import Loaded, read_config
from utils.config.rules import NOT_EAGER
from utils.config.schema import SCHEMA
from utils.errors import UserError

DEMO = "demo"  # the config of programs that are started without one
KEYS = """
keys people change most (configs/base.py explains all of them):
  network=r50            r18 r34 r50 r100 mbf vit_s ...; tools/list_backbones.py lists all
  loss=arcface           cosface, adaface, magface, curricularface ..., with parameters: 'adaface(m=0.4)'
  ofrecord_path=DIR      the converted dataset (tools/prepare_dataset.py, tools/mx_recordio_2_ofrecord.py)
  batch_size=128         images per rank; the global batch is this x ranks x gradient_acc
  lr=0.1                 the peak learning rate; it is not scaled with the global batch
  num_epoch=20           passes over the dataset; warmup_epoch=2 of them, at first, warm up
  sample_rate=0.1        a share of the class centers in each step (Partial FC), for very many identities
  fp16=True              mixed precision, on cards
  val_targets=lfw,cfp_fp verification sets, from val_path or the dataset's folder, every verbose steps
  output=DIR             of the run; default: work_dirs/NAME of the config
  resume=True            goes on from the newest checkpoint in output
"""
TRAINING = (
    KEYS
    + """
variables:
  NPROC=8                ranks on this machine; default: the cards OneFlow can use, else 2 on the CPU
  NNODES=2 NODE_RANK=0   machines, and which of them this is
  MASTER_ADDR=10.0.0.1 MASTER_PORT=29500
                         an address of machine 0 and a free port there, with NNODES above 1
  CUDA_VISIBLE_DEVICES   cards to choose from

examples:
  ./train_graph_distributed.sh                                       # the demo, on drawn faces
  ./train_graph_distributed.sh ms1mv3_r50 ofrecord_path=/data/ms1mv3/ofrecord
  ./train_graph_distributed.sh arcface_torch/configs/ms1mv3_r50.py --print_config
  ./train_graph_distributed.sh my_run.py batch_size=64 'loss=adaface(m=0.4)' --dry_run
  NPROC=1 ./train_graph_distributed.sh my_run.py resume=True
"""
)
_USAGE = """train_graph_distributed.sh [CONFIG] [key=value ...] [options]   compiled step, all ranks
       train_ddp.sh [CONFIG] [key=value ...] [options]                 eager step, all ranks
       python train.py [CONFIG] [key=value ...] [options]              one process"""


@dataclass(frozen=True)
class Training:
    """What a command line asks of training; typed: the overrides as they were typed."""

    config: str
    typed: list[str]
    mode: str | None  # "--graph" or "--eager", if one was given
    print_config: bool
    print_phases: bool
    dry_run: bool

    @property
    def only_shows(self) -> bool:
        """Whether nothing is to be trained."""
        return self.print_config or self.print_phases or self.dry_run

    def read(self, require_data: bool = True) -> Loaded:
        """The config, with the mode that was given. Raises UserError."""
        loaded = read_config(self.config, self.typed, require_data=require_data)
        cfg = loaded.cfg
        if self.mode:
            cfg.graph = self.mode == "--graph"
        if cfg.fp16 and not cfg.graph:
            advice = "use --graph, or add fp16=False"
            raise UserError(f"fp16=True needs the compiled step, where its loss is scaled; {advice}")
        if cfg.activation_checkpointing and not cfg.graph:
            raise UserError(f"activation_checkpointing with --eager is not possible: {NOT_EAGER}.")
        return loaded


def show_notice(loaded: Loaded) -> None:
    """What there is to say of an InsightFace file, on stderr."""
    if loaded.notice:
        print(loaded.notice, file=sys.stderr, flush=True)


def add_config(parser: argparse.ArgumentParser, help: str, overrides: str) -> None:
    """The arguments `[CONFIG] [key=value ...]`; `settle_config` is to be called on what was parsed."""
    parser.add_argument("config", nargs="?", default=DEMO, metavar="CONFIG", help=f"{help} (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=overrides)


def settle_config(args: argparse.Namespace) -> None:
    """Without a CONFIG the first override was taken for it. A file may have a = in its name, too."""
    key, equals, _ = args.config.partition("=")
    if equals and (key in SCHEMA or (key.strip().isidentifier() and not os.path.isfile(args.config))):
        args.config, args.overrides = DEMO, [args.config, *args.overrides]


def parse_training(arguments: Sequence[str], prog: str) -> Training:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=_USAGE,
        description="Train a face recognition model, one process per rank.",
        epilog=TRAINING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser, "a file, also one of InsightFace's, or a bare name of configs/", "keys to set for this run")
    parser.add_argument(
        "--print_config", action="store_true", help="show the resolved config, which can be used as a config file"
    )
    parser.add_argument("--print_phases", action="store_true", help="show phases, steps, losses and a plot of the rate")
    parser.add_argument(
        "--dry_run", action="store_true",
        help="check config, data and verification sets, compile, predict memory and time; train and write nothing",
    )  # fmt: skip
    mode = parser.add_mutually_exclusive_group()
    for name, meaning in (("--graph", "compiled step (the default)"), ("--eager", "eager step, data-parallel")):
        mode.add_argument(name, dest="mode", action="store_const", const=name, help=meaning)
    args, others = parser.parse_known_intermixed_args(arguments)
    settle_config(args)
    typed = [*args.overrides, *others]
    return Training(args.config, typed, args.mode, args.print_config, args.print_phases, args.dry_run)
