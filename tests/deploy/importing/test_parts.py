"""Steps of an import by themselves, on the smallest network."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from deploy.embedder import Embedder
from deploy.importing.fit import fit_to_network
from deploy.importing.identity import batch_norm, to_our_epsilon
from deploy.importing.ir import from_ir
from deploy.importing.layouts import by_our_names
from deploy.importing.pixels import take_our_pixels
from deploy.importing.read import kind_of
from deploy.importing.statistics import measure
from deploy.input_format import OWN, parse_input
from utils.errors import UserError

FACES = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
NAMES = {name: np.zeros(1) for name in ("input_layer.0.weight", "body.0.res_layer.0.weight", "output_layer.3.weight")}


@pytest.fixture
def tiny():
    flow.manual_seed(0)
    return {name: tensor.numpy() for name, tensor in get_model("mbf_tiny", 16).state_dict().items()}


def embeddings(state, pixels=OWN):
    embedder = Embedder("mbf_tiny", 16, input_format=pixels)
    embedder.load(state)
    return embedder(FACES)


def test_the_network_and_the_embedding_size_are_the_files_and_counters_may_lack(tiny):
    state = {name: array for name, array in tiny.items() if not name.endswith("num_batches_tracked")}
    network, full, size = fit_to_network(state)
    assert (network, size) == ("mbf_tiny", 16) and list(full) == list(tiny)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("fc.weight"), "fc.weight is missing"),
        (lambda s: s.pop("features.running_var"), "features.running_var is missing"),
        (lambda s: s.update({"extra.weight": np.zeros(1)}), "extra.weight is unknown"),
        (lambda s: s.update({"fc.weight": np.zeros((16, 5))}), "fc.weight is of another shape"),
    ],
)
def test_what_does_not_fit_is_named(tiny, change, sentence):
    change(tiny)
    with pytest.raises(UserError, match=f"these are not weights of mbf_tiny: .*{sentence}"):
        fit_to_network(tiny, "mbf_tiny")
    with pytest.raises(UserError, match="none of the networks here; the nearest is mbf_tiny"):
        fit_to_network(tiny)


@pytest.mark.parametrize("text", ["BGR, (x - 127.5) / 127.5", "(x - 127.5) / 128", "BGR, (x - 127.5) / [90, 80, 70]"])
def test_colors_and_scales_go_into_the_convolution_exactly(tiny, text):
    theirs = parse_input(text)
    adapted = take_our_pixels(tiny, theirs)
    assert adapted.input == OWN and len(adapted.said) >= 1
    wanted, ours = embeddings(tiny, theirs), embeddings(adapted.state)
    assert np.abs(ours - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_an_offset_stays_unless_it_is_folded(tiny):
    theirs = parse_input("BGR, x / 255")
    adapted = take_our_pixels(tiny, theirs)
    assert str(adapted.input) == "RGB, 112x112, x / 255, NCHW float32"
    wanted = embeddings(tiny, theirs)
    np.testing.assert_allclose(embeddings(adapted.state, adapted.input), wanted, rtol=1e-4, atol=1e-5)
    folded = take_our_pixels(tiny, theirs, fold_offset=True)
    assert folded.input == OWN and any("inexact at the border" in line for line in folded.said)
    ours = embeddings(folded.state)
    assert 1e-6 < np.abs(ours - wanted).max() / np.abs(wanted).max() < 0.1


def test_a_greater_epsilon_is_in_the_variances():
    norm = batch_norm("bn", 3)
    np.testing.assert_allclose(to_our_epsilon(norm, 2e-5)["bn.running_var"], 1, rtol=1e-7)
    assert to_our_epsilon(norm, 2e-5)["bn.weight"] is norm["bn.weight"]


def test_measured_statistics_change_nothing_at_inference_and_little_in_training(tiny):
    """The BatchNorm that is made up passes on values far from mean 0 and variance 1."""
    name = "layers.1.1"
    tiny |= batch_norm(name, 64, np.linspace(-2, 2, 64).astype(np.float32))
    tiny["layers.1.0.weight"] = tiny["layers.1.0.weight"] * 5
    embedder = Embedder("mbf_tiny", 16)
    embedder.load(tiny)
    wanted = embedder(FACES)
    measured = measure(embedder, [name], FACES)
    assert set(measured) == {f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")}
    ours = embeddings(tiny | measured)
    assert np.abs(ours - wanted).max() < 1e-4 * np.abs(wanted).max()

    def in_training(state):
        """(what goes into the BatchNorm, what comes out)."""
        network = get_model("mbf_tiny", 16).eval()
        network.load_state_dict({key: flow.tensor(array) for key, array in state.items()})
        with flow.no_grad():
            before = network.layers[1][0](network.layers[0](flow.tensor(OWN.apply(FACES))))
            return before.numpy(), network.layers[1][1].train()(before).numpy()

    before, after = in_training(tiny | measured)
    passed_on = before + tiny[f"{name}.bias"][:, None, None]
    assert np.abs(after - passed_on).max() < 1e-2 * np.abs(passed_on).max()
    assert np.abs(in_training(tiny)[1] - passed_on).max() > 0.1 * np.abs(passed_on).max()


def test_names_with_several_prefixes_are_ambiguous(tiny):
    both = {f"{prefix}.{name}": array for prefix in ("model", "ema") for name, array in tiny.items()}
    with pytest.raises(UserError, match=r"several networks; choose one with --prefix, of 'ema\.', 'model\.'"):
        by_our_names(both)
    named = by_our_names(both, prefix="ema.")
    assert (named.layout, named.prefix, len(named.left_out)) == ("arcface_torch", "ema.", len(tiny))
    assert named.state.keys() == tiny.keys()


def test_names_of_nobody_are_listed():
    with pytest.raises(UserError, match=r"none of the layouts that are known; the first are a\.b \[2, 3\]"):
        by_our_names({"a.b": np.zeros((2, 3))})


def test_who_trained_an_ir_with_a_middle_norm_has_to_be_said():
    middle = {**NAMES, "body.0.res_layer.2.running_mean": np.zeros(1)}
    with pytest.raises(UserError, match="with --layout adaface or --layout tface"):
        by_our_names(middle)


def test_squeeze_and_excitation_is_refused():
    with pytest.raises(UserError, match=r"body\.0\.res_layer\.5\.fc1\.weight has no place in IResNet"):
        from_ir({**NAMES, "body.0.res_layer.5.fc1.weight": np.zeros((4, 64, 1, 1))})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x89HDF\r\n", "an HDF5 file, as Keras writes"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"", "no file of torch"),
        (b"text", "no file of torch"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, content, sentence):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        kind_of(tmp_path / "a.pth")
