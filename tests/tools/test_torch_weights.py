"""Weights to and from arcface_torch's backbone.pth, against torch itself."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deploy.embedder import load_embedder
from deploy.images import drawn_faces
from deploy.torch_weights import fit_to_network, read_torch_weights
from tests.torch_python import find_torch_python
from tools import export_torch_weights, import_torch_weights
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
        import_torch_weights.main(list(map(str, arguments)))
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
    arguments = [tmp_path / "backbone.pth", "--network", network, "--out", tmp_path / "ours", bridge]
    import_torch_weights.main(list(map(str, arguments)))
    found = load_embedder(tmp_path / "ours")(images)
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()

    export_torch_weights.main(list(map(str, [tmp_path / "ours", "--out", tmp_path / "back.pth", bridge])))
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
    with pytest.raises(UserError, match="not a state_dict"):
        read_torch_weights(torch_files / "other.pth", torch_python)


def test_names_of_parallel_training_and_half_precision_are_taken(torch_python, torch_files):
    ((name, array),) = read_torch_weights(torch_files / "parallel.pth", torch_python).items()
    assert (name, array.dtype, array.tolist()) == ("fc.bias", np.float32, [1, 1, 1])


def _tiny() -> dict[str, np.ndarray]:
    from backbones import get_model

    return {name: tensor.numpy() for name, tensor in get_model("mbf_tiny", 16).state_dict().items()}


def test_the_embedding_size_is_the_files_and_counters_may_lack():
    state = {name: array for name, array in _tiny().items() if not name.endswith("num_batches_tracked")}
    full, size = fit_to_network(state, "mbf_tiny")
    assert size == 16 and full.keys() == _tiny().keys()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("fc.weight"), "fc.weight is missing"),
        (lambda s: s.pop("features.running_mean"), "features.running_mean is missing"),
        (lambda s: s.update({"extra.weight": np.zeros(1)}), "extra.weight is unknown"),
        (lambda s: s.update({"fc.weight": np.zeros((16, 5))}), "fc.weight is of another shape"),
    ],
)
def test_what_does_not_fit_is_named(change, sentence):
    state = _tiny()
    change(state)
    with pytest.raises(UserError, match=sentence):
        fit_to_network(state, "mbf_tiny")


def test_mistakes_are_one_sentence(tmp_path):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho torch is not installed >&2\nexit 1\n")
    bare.chmod(0o755)
    (tmp_path / "a.pth").touch()
    arguments = (tmp_path / "a.pth", "--network", "r18", "--out", tmp_path / "out")
    assert "has no torch; install it" in refusal(*arguments, f"--torch_python={bare}")
    assert "not a Python that can be run" in refusal(*arguments, "--torch_python=/no/python")
    assert "there is no file" in refusal(tmp_path / "b.pth", *arguments[1:])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "missing"), [("import", ["--network", "r18"]), ("export", [])])
def test_a_mistake_ends_with_status_2(tmp_path, name, missing):
    tool = ROOT / f"tools/{name}_torch_weights.py"
    said = run(sys.executable, tool, tmp_path / "none", *missing, "--out", tmp_path / "out", status=2)
    assert said.startswith("error: there is no ")
