"""The best model on each verification set, in a run that ends after its first epoch and is taken up."""

import json
import re
import shutil

import numpy as np

from evaluation.bin_set import BinSet, write_bin
from tests.ranks import run_ranks
from utils.tensor_file import read_tensors


def test_each_set_keeps_its_best_over_a_pause(config, dataset, tmp_path):
    held_out, sets, output = BinSet.load(dataset / "held_out.bin"), tmp_path / "sets", tmp_path / "out"
    sets.mkdir()
    shutil.copy(dataset / "held_out.bin", sets / "first.bin")
    write_bin(sets / "second.bin", held_out._images, ~held_out.issame)  # what is best there is worst here
    output.mkdir()
    (output / "stop_after_epoch").touch()
    command = [str(config), "batch_size=8", "num_epoch=2", "verbose=1", "val_targets=first,second", f"val_path={sets}"]
    command += [f"output={output}", "save_interval=1", "keep_checkpoints=99"]
    run_ranks(1, "train.py", *command)
    run_ranks(1, "train.py", *command, "resume=True")

    log = (output / "training.log").read_text()
    about = json.loads(sorted((output / "checkpoints").glob("*/checkpoint.json"))[-1].read_text())
    for name in ("first", "second"):
        actual = re.findall(rf"\[{name}\]\[(\d+)\]Accuracy-Flip: ([\d.]+)", log)
        assert [int(step) for step, _ in actual] == list(range(1, 13))
        accuracies = [float(accuracy) for _, accuracy in actual]
        highest = [float(at) for at in re.findall(rf"\[{name}\]\[\d+\]Accuracy-Highest: ([\d.]+)", log)]
        assert highest == np.maximum.accumulate(accuracies).tolist()
        best = int(np.argmax(accuracies)) + 1
        assert about["best_of"][name][1] == best
        wanted = read_tensors(output / "checkpoints" / f"step-{best:08d}" / "backbone.safetensors")
        folders = ["best", "best/first"] if name == "first" else ["best/second"]
        for folder in folders:
            kept = read_tensors(output / folder / "backbone.safetensors")
            assert all(np.array_equal(kept[tensor], array) for tensor, array in wanted.items())
    assert about["best_step"] == about["best_of"]["first"][1]
