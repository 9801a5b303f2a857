"""Weights of others and back to arcface_torch's backbone.pth as a user moves them, against torch itself."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deploy.embedder import load_backbone_embedder, load_embedder
from deploy.images import drawn_faces
from deploy.torch_weights import read_torch_weights
from deploy.weights import load_backbone
from tests.torch_python import find_torch_python
from tools import export_weights, import_weights
from utils.errors import UserError

pytestmark = pytest.mark.timeout(1000)  # where torch is fetched first
ROOT = Path(__file__).resolve().parents[2]
FACES = 4


@pytest.fixture(scope="module")
def torch_python() -> str:
    python = find_torch_python()
    if python is None:
        pytest.skip("no Python with torch; name one in TORCH_PYTHON")
    return python


def run(*command: str, status: int = 0) -> str:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environ, timeout=600)
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


def refusal(*arguments: object) -> str:
    with pytest.raises(UserError) as refused:
        import_weights.main(list(map(str, arguments)))
    return str(refused.value)


@pytest.mark.parametrize("network", ["r50", "mbf"])
def test_embeddings_are_torchs_in_both_directions(torch_python, tmp_path, network):
    images, theirs = drawn_faces(FACES), tmp_path / "theirs.npy"
    np.save(tmp_path / "images.npy", images)

    def torch_side(action: str, weights: Path) -> np.ndarray:
        run(torch_python, ROOT / "tests/torch_side.py", action, network, tmp_path / "images.npy", weights, theirs)
        return np.load(theirs)

    wanted = torch_side("make", tmp_path / "backbone.pth")
    bridge = f"--torch_python={torch_python}"
    arguments = [tmp_path / "backbone.pth", "--out", tmp_path / "ours", bridge]
    import_weights.main(list(map(str, arguments)))
    assert load_backbone(tmp_path / "ours")[1]["network"] == network
    actual = load_embedder(tmp_path / "ours")(images)
    assert np.abs(actual - wanted).max() < 1e-5 * np.abs(wanted).max()

    export_weights.main(list(map(str, [tmp_path / "ours", "--out", tmp_path / "back.pth", bridge])))
    assert np.array_equal(torch_side("embed", tmp_path / "back.pth"), wanted)


def test_a_file_that_would_run_code_is_refused_and_runs_none(torch_python, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    plain, zipped = tmp_path / "plain.pth", tmp_path / "zipped.pth"
    plain.write_bytes(pickle.dumps({"conv1.weight": Hostile()}, protocol=2))
    with zipfile.ZipFile(zipped, "w") as archive:  # as torch has saved since 1.6
        archive.writestr("archive/data.pkl", pickle.dumps({"conv1.weight": Hostile()}, protocol=2))
        archive.writestr("archive/version", "3\n")
    for path in (plain, zipped):
        with pytest.raises(UserError, match=f"{path.name}: this is not a file of weights"):
            read_torch_weights(path, torch_python)
    assert not (tmp_path / "ran").exists()
    pickle.load(io.BytesIO(plain.read_bytes()))
    assert (tmp_path / "ran").exists(), "the file is as hostile as it is meant to be"


@pytest.fixture(scope="module")
def torch_files(torch_python, tmp_path_factory) -> Path:
    """other.pth, which is no state_dict, and parallel.pth, of DistributedDataParallel in half precision."""
    folder = tmp_path_factory.mktemp("torch")
    code = f"import torch; torch.save({{'epoch': 3}}, {str(folder / 'other.pth')!r}); "
    code += f"torch.save({{'module.fc.bias': torch.ones(3).half()}}, {str(folder / 'parallel.pth')!r})"
    run(torch_python, "-c", code)
    return folder


def test_other_content_is_refused(torch_python, torch_files):
    with pytest.raises(UserError, match="there are no tensors with names"):
        read_torch_weights(torch_files / "other.pth", torch_python)


def test_names_of_parallel_training_and_half_precision_are_taken(torch_python, torch_files):
    ((name, array),) = read_torch_weights(torch_files / "parallel.pth", torch_python).items()
    assert (name, array.dtype, array.tolist()) == ("module.fc.bias", np.float32, [1, 1, 1])


def test_a_program_of_torchscript_is_none_of_weights(torch_python, tmp_path):
    code = f"import torch; torch.jit.script(torch.nn.Linear(2, 2)).save({str(tmp_path / 'program.pt')!r})"
    run(torch_python, "-c", code)
    with pytest.raises(UserError, match="a TorchScript program; save its state_dict"):
        read_torch_weights(tmp_path / "program.pt", torch_python)


@pytest.fixture(scope="module")
def peers(torch_python, tmp_path_factory) -> Path:
    """Checkpoints of others, and images.npy with what they give for it."""
    folder = tmp_path_factory.mktemp("peers")
    np.save(folder / "images.npy", drawn_faces(3))
    run(torch_python, ROOT / "tests/torch_peers.py", folder / "images.npy", folder)
    return folder


@pytest.mark.parametrize(
    ("file", "takes", "words"),
    [
        ("magface.pth", "x / 255", ["MagFace", "left out: state_dict.module.fc.weight", "variances raised by 1e-05"]),
        ("adaface.ckpt", "(x / 255 - 0.5) / 0.5", ["AdaFace", "left out: state_dict.head.kernel", "from BGR to RGB"]),
        ("curricularface.pth", "(x / 255 - 0.5) / 0.5", ["CurricularFace", "lacks or has folded, 9: no statistics"]),
    ],
)
def test_checkpoints_of_others_give_the_same_embeddings(torch_python, peers, tmp_path, capsys, file, takes, words):
    import_weights.main([str(peers / file), "--out", str(tmp_path / "ours"), f"--torch_python={torch_python}"])
    said = capsys.readouterr().out
    assert all(word in said for word in words), said
    _, about = load_backbone(tmp_path / "ours")
    assert (about["network"], about["input"]) == ("r18", f"RGB, 112x112, {takes}, NCHW float32")
    wanted = np.load(peers / f"{Path(file).stem}.npy")
    actual = load_backbone_embedder(tmp_path / "ours")(np.load(peers / "images.npy"))
    assert np.abs(actual - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_our_pixels_for_magface_change_little(torch_python, peers, tmp_path):
    """Only the border sees another gray."""
    arguments = [peers / "magface.pth", "--out", tmp_path / "ours", "--fold_input", f"--torch_python={torch_python}"]
    import_weights.main(list(map(str, arguments)))
    assert "(x / 255 - 0.5) / 0.5" in load_backbone(tmp_path / "ours")[1]["input"]
    wanted = np.load(peers / "magface.npy")
    actual = load_backbone_embedder(tmp_path / "ours")(np.load(peers / "images.npy"))
    cosines = (actual * wanted).sum(1) / np.linalg.norm(actual, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.99 and np.abs(actual - wanted).max() > 1e-4


def test_who_trained_it_decides_what_it_takes(torch_python, peers, tmp_path):
    arguments = (peers / "adaface.ckpt", "--out", tmp_path / "ours", f"--torch_python={torch_python}")
    assert "names of adaface, not of magface" in refusal(*arguments, "--layout=magface")
    assert "under the prefix 'ema.'" in refusal(*arguments, "--prefix=ema.")
    assert "these are not weights of r34: layer1.2" in refusal(*arguments, "--network=r34")
    assert not (tmp_path / "ours").exists()


def test_mistakes_are_one_sentence(tmp_path):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho torch is not installed >&2\nexit 1\n")
    bare.chmod(0o755)
    (tmp_path / "a.pth").write_bytes(b"PK\3\4")
    arguments = (tmp_path / "a.pth", "--network", "r18", "--out", tmp_path / "out")
    assert "has no torch; install it" in refusal(*arguments, f"--torch_python={bare}")
    assert "not a Python that can be run" in refusal(*arguments, "--torch_python=/no/python")
    assert "there is no file" in refusal(tmp_path / "b.pth", *arguments[1:])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["import", "export"])
def test_a_mistake_ends_with_status_2(tmp_path, name):
    tool = ROOT / f"tools/{name}_weights.py"
    said = run(sys.executable, tool, tmp_path / "none", "--out", tmp_path / "out", status=2)
    assert said.startswith("error: there is no ")
