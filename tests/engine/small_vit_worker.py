"""train.py with a Vision Transformer that is small enough for seconds, and draws all that one can draw."""

from backbones import register, registry
from backbones.vit import vit
from train import main
from utils.cli import run_cli
from utils.config.grammar import read_signatures

register("small_vit", dim=16, depth=3, drop_path=0.3, mask=0.4)(vit)
read_signatures(registry.FOLDER)["small_vit"] = {}  # which reads the files of backbones/ alone

if __name__ == "__main__":
    run_cli(main, hard_exit=True)
