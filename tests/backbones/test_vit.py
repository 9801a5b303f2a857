"""FaceViT against a float64 NumPy transformer, its published sizes, and ONNX Runtime."""

import numpy as np
import oneflow as flow
import onnxruntime
import pytest

from backbones import get_model
from backbones.drawn import KEPT, PLACES, Draws
from backbones.registry import Sizes
from backbones.vit import VisionTransformer
from deploy.onnx_convert import to_onnx
from utils.errors import UserError
from utils.pixels import ImageShape

# name: width, depth, million parameters
NAMES = {
    "vit_t": (256, 12, 19.14),
    "vit_t_dp005_mask0": (256, 12, 19.14),
    "vit_s": (512, 12, 76.02),
    "vit_s_dp005_mask_0": (512, 12, 76.02),
    "vit_b": (512, 24, 113.83),
    "vit_b_dp005_mask_005": (512, 24, 113.83),
    "vit_l": (768, 24, 255.68),
    "vit_l_dp005_mask_005": (768, 24, 255.68),
    "vit_h": (1024, 48, 756.39),
}
DIM, TOKENS, SMALL = 16, 12, Sizes(8, ImageShape(37, 30, 3))  # 4 x 3 patches, and pixels that belong to none


def small(drop_path=0.0, mask=0.0, dropout=0.0):
    """A network whose values are far from the initial ones, so that every term counts."""
    network, rng = VisionTransformer(SMALL, dropout, DIM, 2, drop_path, mask), np.random.default_rng(0)
    with flow.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("tracked"):
                continue
            drawn = rng.normal(size=tuple(value.shape)) * (0.3 if value.ndim > 1 else 0.2)
            drawn = 0.5 + np.abs(drawn) if name.endswith("running_var") else drawn
            value.copy_(flow.tensor((drawn + name.endswith(("norm1.weight", "norm.weight"))).astype(np.float32)))
    return network


def state_of(network):
    return {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}


def layer_norm(x, state, name):
    centered = x - x.mean(-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def batch_norm(x, state, name, training):
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    if training:
        mean, variance = x.mean(0), x.var(0)
    return (x - mean) / np.sqrt(variance + 2e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]


def attention(x, state, name, heads=8):
    batch, tokens, dim = x.shape
    qkv = (x @ state[f"{name}.qkv.weight"].T).reshape(batch, tokens, 3, heads, dim // heads)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(dim // heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("bhqk,bhkd->bqhd", weights, v).reshape(batch, tokens, dim)
    return mixed @ state[f"{name}.proj.weight"].T + state[f"{name}.proj.bias"]


def mlp(x, state, name):
    hidden = np.clip(x @ state[f"{name}.fc1.weight"].T + state[f"{name}.fc1.bias"], 0, 6)
    return hidden @ state[f"{name}.fc2.weight"].T + state[f"{name}.fc2.bias"]


def reference(state, images, paths=None, places=None, kept=None):
    """images (B, 3, H, W) -> embeddings. Of training: paths (B, 4), factors of the two blocks' paths; places (B, T) and
    kept (B, k), of the masked tokens.
    """
    batch, channels, height, width = images.shape
    rows, columns = height // 9, width // 9
    patches = images[:, :, : rows * 9, : columns * 9].reshape(batch, channels, rows, 9, columns, 9)
    x = np.einsum("bcrykx,ocyx->brko", patches, state["patch_embed.proj.weight"])
    x = x.reshape(batch, rows * columns, -1) + state["patch_embed.proj.bias"] + state["pos_embed"]
    if kept is not None:
        x = np.take_along_axis(x, kept[:, :, None], axis=1)
    factors = np.ones((batch, 4)) if paths is None else paths
    for number in range(2):
        name = f"blocks.{number}"
        first, second = factors[:, 2 * number : 2 * number + 2].T[:, :, None, None]
        x = x + first * attention(layer_norm(x, state, f"{name}.norm1"), state, f"{name}.attn")
        x = x + second * mlp(layer_norm(x, state, f"{name}.norm2"), state, f"{name}.mlp")
    x = layer_norm(x, state, "norm")
    if places is not None:
        filled = np.broadcast_to(state["mask_token"], (batch, places.shape[1], x.shape[2])).copy()
        np.put_along_axis(filled, kept[:, :, None], x, axis=1)
        x = filled
    training = paths is not None
    x = batch_norm(x.reshape(batch, -1) @ state["feature.0.weight"].T, state, "feature.1", training)
    return batch_norm(x @ state["feature.2.weight"].T, state, "feature.3", training)


def images_of(count):
    return np.random.default_rng(1).normal(size=(count, 3, *SMALL.image[:2]))


@pytest.mark.parametrize("name", NAMES)
def test_names_and_counts(name, monkeypatch):
    for function in ("normal_", "uniform_", "kaiming_uniform_", "zeros_"):
        monkeypatch.setattr(flow.nn.init, function, lambda tensor, *_, **__: tensor)
    dim, depth, millions = NAMES[name]
    network = get_model(name)
    block = {
        "norm1.weight": (dim,), "norm1.bias": (dim,), "attn.qkv.weight": (3 * dim, dim),
        "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,), "norm2.weight": (dim,), "norm2.bias": (dim,),
        "mlp.fc1.weight": (4 * dim, dim), "mlp.fc1.bias": (4 * dim,), "mlp.fc2.weight": (dim, 4 * dim),
        "mlp.fc2.bias": (dim,),
    }  # fmt: skip
    table = {f"blocks.{number}.{key}": shape for number in range(depth) for key, shape in block.items()}
    table |= {"pos_embed": (1, 144, dim), "mask_token": (1, 1, dim), "norm.weight": (dim,), "norm.bias": (dim,)}
    table |= {"patch_embed.proj.weight": (dim, 3, 9, 9), "patch_embed.proj.bias": (dim,)}
    table |= {"feature.0.weight": (dim, 144 * dim), "feature.2.weight": (512, dim)}
    for norm, size in (("feature.1", dim), ("feature.3", 512)):
        table |= dict.fromkeys([f"{norm}.{key}" for key in ("weight", "bias", "running_mean", "running_var")], (size,))
        table[f"{norm}.num_batches_tracked"] = ()
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == table
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2) == millions
    masked, paths = name.endswith("005"), 2 * (depth - 1) if "dp005" in name else 0
    assert Draws(network).columns == ({PLACES: 136 + 144} if masked else {}) | ({KEPT: paths} if paths else {})


def test_embeddings_equal_numpy():
    network = small().eval()
    actual = network(flow.tensor(images_of(3).astype(np.float32))).numpy()
    np.testing.assert_allclose(actual, reference(state_of(network), images_of(3)), rtol=1e-4, atol=1e-4)


def masked_step(network, images):
    """(embeddings and state as before the step, paths, places, kept): of a step in training mode."""
    state, draws = state_of(network), Draws(network)
    drawn = draws.draw(1, 2, np.arange(len(images)))
    with draws.given({name: flow.tensor(rows) for name, rows in drawn.items()}):
        actual = network(flow.tensor(images.astype(np.float32)))
    # The first block leaves nothing out, the second one half.
    paths = np.concatenate([np.ones((len(images), 2)), drawn[KEPT] / 0.5], axis=1)
    kept, places = np.split(drawn[PLACES].astype(np.int64), [network.masking.kept], axis=1)
    return actual, state, (paths, places, kept)


def test_training_with_masks_and_paths_left_out_equals_numpy():
    actual, state, drawn = masked_step(small(drop_path=0.5, mask=0.4), images_of(6))
    assert {0, 2} == set(drawn[0][:, 2:].ravel()) and drawn[2].shape == (6, 7)
    np.testing.assert_allclose(actual.numpy(), reference(state, images_of(6), *drawn), rtol=1e-3, atol=1e-3)


def test_gradients_equal_finite_differences():
    network, rng = small(drop_path=0.5, mask=0.4), np.random.default_rng(2)
    target = rng.normal(size=(6, SMALL.embedding))
    actual, state, drawn = masked_step(network, images_of(6))
    (actual * flow.tensor(target.astype(np.float32))).sum().backward()
    for name, parameter in network.named_parameters():
        way = rng.normal(size=tuple(parameter.shape))
        there, back = ({**state, name: state[name] + sign * 1e-5 * way} for sign in (1, -1))
        slope = sum(
            sign * (reference(values, images_of(6), *drawn) * target).sum() for sign, values in ((1, there), (-1, back))
        )
        assert (parameter.grad.numpy() * way).sum() == pytest.approx(slope / 2e-5, rel=2e-3, abs=2e-2), name


@pytest.mark.parametrize("opset", [11, 12])
def test_export_agrees_with_onnx_runtime(opset):
    network = VisionTransformer(Sizes(32), 0.3, DIM, 2, 0.2, 0.3).eval()
    model = to_onnx(network, opset)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        images = np.random.default_rng(batch).uniform(-1, 1, (batch, 3, 112, 112)).astype(np.float32)
        (actual,) = session.run(None, {session.get_inputs()[0].name: images})
        np.testing.assert_allclose(actual, network(flow.tensor(images)).numpy(), rtol=1e-4, atol=1e-5)


def test_initial_values():
    flow.manual_seed(0)
    for name, value in VisionTransformer(Sizes(), 0.0, 64, 1, 0.0, 0.5).state_dict().items():
        values = value.numpy()
        if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "feature.1.weight", "running_var")):
            assert (values == 1).all(), name
        elif name in ("pos_embed", "mask_token") or (values.ndim == 2 and name != "patch_embed.proj.weight"):
            assert values.std() == pytest.approx(0.02, rel=4 / np.sqrt(values.size)), name
        elif name.endswith("bias") and not name.startswith("patch_embed"):
            assert (values == 0).all(), name


def test_the_mask_token_trains_if_tokens_are_masked():
    assert [VisionTransformer(SMALL, 0.0, DIM, 1, 0.0, mask).mask_token.requires_grad for mask in (0.0, 0.1)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("network", "image", "fault"),
    [
        ("vit_t(drop_path=1.0)", ImageShape(), "drop_path = 1.0 is not possible"),
        ("vit_t(mask=-0.1)", ImageShape(), "mask = -0.1 is not possible"),
        ("vit_t", ImageShape(8, 112), "no whole patch of 9x9"),
        ("vit_t_dp005_mask0(mask=0.1)", ImageShape(), "has no parameter mask"),
    ],
)
def test_what_is_not_possible_is_said(network, image, fault):
    with pytest.raises(UserError, match=fault):
        get_model(network, image=image)
