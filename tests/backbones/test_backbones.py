"""Names, shapes, sizes and initial values of the backbones, against tables that follow from their papers' rules."""

from dataclasses import replace

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model, list_models, register
from backbones.iresnet import IBasicBlock
from backbones.registry import same_network, with_option
from engine.model import freeze
from optim.parameters import ParameterRules
from tests.backbones.layers import batch_norm, conv2d
from tests.backbones.tables import norm, shapes
from utils.errors import UserError
from utils.pixels import ImageShape

STAGES = {
    "r18": [2, 2, 2, 2],
    "r34": [3, 4, 6, 3],
    "r50": [3, 4, 14, 3],
    "r100": [3, 13, 30, 3],
    "r101": [3, 4, 23, 3],
    "r200": [6, 26, 60, 6],
}
MILLIONS = {
    "r18": 24.0,
    "r34": 34.1,
    "r50": 43.6,
    "r100": 65.2,
    "r101": 54.2,
    "r200": 118.8,
    "mbf": 2.06,
    "mbf_large": 6.3,
}
MBF = {"mbf": ([1, 4, 6, 2], 2), "mbf_large": ([2, 8, 12, 4], 4)}


def _iresnet_table(blocks, embedding):
    table = {"conv1.weight": (64, 3, 3, 3), **norm("bn1", 64), "prelu.weight": (64,)}
    width = 64
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        for number in range(count):
            block = f"layer{stage + 1}.{number}"
            table |= norm(f"{block}.bn1", width) | norm(f"{block}.bn2", planes) | norm(f"{block}.bn3", planes)
            table[f"{block}.conv1.weight"] = (planes, width, 3, 3)
            table[f"{block}.conv2.weight"] = (planes, planes, 3, 3)
            table[f"{block}.prelu.weight"] = (planes,)
            if number == 0:
                table[f"{block}.downsample.0.weight"] = (planes, width, 1, 1)
                table |= norm(f"{block}.downsample.1", planes)
            width = planes
    table |= norm("bn2", 512) | norm("features", embedding)
    return table | {"fc.weight": (embedding, 512 * 7 * 7), "fc.bias": (embedding,)}


def _mbf_table(blocks, scale, embedding):
    def linear(name, ins, outs, kernel=1, groups=1):
        return {f"{name}.layers.0.weight": (outs, ins // groups, kernel, kernel)} | norm(f"{name}.layers.1", outs)

    def conv(name, ins, outs, kernel=1, groups=1):
        return linear(name, ins, outs, kernel, groups) | {f"{name}.layers.2.weight": (outs,)}

    def bottleneck(name, ins, outs, hidden):
        expand, depthwise = conv(f"{name}.layers.0", ins, hidden), conv(f"{name}.layers.1", hidden, hidden, 3, hidden)
        return expand | depthwise | linear(f"{name}.layers.2", hidden, outs)

    def residual(name, width, count, hidden):
        return {
            key: shape
            for number in range(count)
            for key, shape in bottleneck(f"{name}.layers.{number}", width, width, hidden).items()
        }

    narrow, wide = 64 * scale, 128 * scale
    table = conv("layers.0", 3, narrow, 3)
    table |= conv("layers.1", narrow, narrow, 3, 64) if blocks[0] == 1 else residual("layers.1", narrow, blocks[0], 128)
    table |= bottleneck("layers.2", narrow, narrow, 128) | residual("layers.3", narrow, blocks[1], 128)
    table |= bottleneck("layers.4", narrow, wide, 256) | residual("layers.5", wide, blocks[2], 256)
    table |= bottleneck("layers.6", wide, wide, 512) | residual("layers.7", wide, blocks[3], 256)
    table |= conv("conv_sep", wide, 512) | linear("features.layers.0", 512, 512, 7, 512)
    return table | {"features.layers.2.weight": (embedding, 512)} | norm("features.layers.3", embedding)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", STAGES)
def test_iresnet_names_and_shapes(name):
    assert shapes(get_model(name, 512)) == _iresnet_table(STAGES[name], 512)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", MBF)
def test_mobilefacenet_names_and_shapes(name):
    assert shapes(get_model(name, 256)) == _mbf_table(*MBF[name], 256)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", MILLIONS)
def test_parameter_counts(name):
    digits = len(str(MILLIONS[name]).split(".")[1])
    count = sum(parameter.numel() for parameter in get_model(name).parameters())
    assert round(count / 1e6, digits) == MILLIONS[name]


@pytest.mark.parametrize("name", ["r18", "mbf", "mbf_tiny"])
def test_images_become_embeddings_which_dropout_changes_in_training_alone(name):
    flow.manual_seed(0)
    image, images = ImageShape(64, 64, 3), flow.randn(4, 3, 64, 64)
    plain, dropped = (get_model(name, 16, dropout, image=image) for dropout in (0.0, 0.4))
    dropped.load_state_dict(plain.state_dict())
    trained = [network(images).numpy() for network in (plain, dropped)]
    for embeddings in trained:  # the last layer is BatchNorm over the batch
        assert embeddings.shape == (4, 16)
        np.testing.assert_allclose(embeddings.mean(axis=0), 0, atol=1e-5)
        assert np.abs(embeddings.std(axis=0) - 1).max() < 0.05
    assert np.abs(trained[0] - trained[1]).mean() > 0.05
    dropped.load_state_dict(plain.state_dict())
    found, expected = (network.eval()(images).numpy() for network in (dropped, plain))
    np.testing.assert_array_equal(found, expected)
    assert expected.std(axis=0).min() > 0


def _names_of_dropout(model):
    return [name for name, module in model.named_modules() if isinstance(module, flow.nn.Dropout)]


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", ["r18", "mbf", "mbf_tiny"])
def test_dropout_is_there_only_when_asked_for(name):
    assert _names_of_dropout(get_model(name)) == []
    assert len(_names_of_dropout(get_model(name, dropout=0.4))) == 1
    assert shapes(get_model(name, dropout=0.4)) == shapes(get_model(name))


def test_iresnet_initial_values():
    flow.manual_seed(0)
    for name, value in get_model("r18", 64).state_dict().items():
        values = value.numpy()
        if values.ndim == 4:
            error = 4 / np.sqrt(values.size)  # four standard errors
            assert abs(values.mean()) < 0.1 * error, name
            assert abs(values.std() / 0.1 - 1) < error, name
        elif name.endswith("prelu.weight"):
            assert (values == np.float32(0.25)).all(), name
        elif name.startswith("fc."):
            assert np.abs(values).max() <= np.float32(1 / np.sqrt(512 * 49)), name
        elif name.endswith(("weight", "running_var")):
            assert (values == 1).all(), name
        else:
            assert (values == 0).all(), name


def test_mobilefacenet_initial_values():
    flow.manual_seed(0)
    for name, value in get_model("mbf").state_dict().items():
        values = value.numpy()
        if values.ndim in (2, 4):
            fan_out = values.shape[0] * np.prod(values.shape[2:])
            assert values.std() == pytest.approx(np.sqrt(2 / fan_out), rel=4 / np.sqrt(values.size)), name


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", ["r18", "mbf_tiny"])
def test_scale_of_the_embedding_is_frozen_at_one(name):
    frozen = [key for key, parameter in get_model(name).named_parameters() if not parameter.requires_grad]
    assert frozen == ["features.weight"]


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", ["r18", "mbf", "mbf_tiny"])
def test_batch_norm_settings(name):
    kinds = (flow.nn.BatchNorm1d, flow.nn.BatchNorm2d)
    norms = [module for module in get_model(name).modules() if isinstance(module, kinds)]
    assert {(module.eps, module.momentum) for module in norms} == {(1e-5, 0.1)}


@pytest.mark.parametrize(("inplanes", "stride"), [(6, 1), (4, 2)])
def test_basic_block_equals_numpy(inplanes, stride):
    flow.manual_seed(0)
    rng = np.random.default_rng(0)
    block = IBasicBlock(inplanes, 6, stride)
    for parameter in block.parameters():
        parameter.data.copy_(flow.tensor(rng.normal(size=parameter.shape).astype(np.float32)))
    state = {name: value.numpy().astype(np.float64) for name, value in block.state_dict().items()}
    x = rng.normal(size=(3, inplanes, 8, 8)) + 0.5

    out = batch_norm(conv2d(batch_norm(x, state, "bn1"), state["conv1.weight"], 1, 1), state, "bn2")
    out = np.where(out > 0, out, out * state["prelu.weight"].reshape(1, -1, 1, 1))
    out = batch_norm(conv2d(out, state["conv2.weight"], stride, 1), state, "bn3")
    identity = x
    if stride == 2:
        identity = batch_norm(conv2d(x, state["downsample.0.weight"], 2, 0), state, "downsample.1")

    actual = block(flow.tensor(x.astype(np.float32)))
    np.testing.assert_allclose(actual.numpy(), out + identity, atol=2e-5)
    running = block.state_dict()["bn1.running_mean"].numpy()
    np.testing.assert_allclose(running, 0.1 * x.mean((0, 2, 3)), atol=1e-6)
    running = block.state_dict()["bn1.running_var"].numpy()
    np.testing.assert_allclose(running, 0.9 + 0.1 * x.var((0, 2, 3), ddof=1), atol=1e-6)


def test_known_names():
    assert {*STAGES, *MBF, "mbf_tiny"} <= set(list_models())


@pytest.mark.parametrize(("unknown", "nearest"), [("r51", "r50"), ("mbf-tiny", "mbf_tiny"), ("R100", "r100")])
def test_unknown_name_lists_the_known(unknown, nearest):
    with pytest.raises(UserError) as error:
        get_model(unknown)
    assert f"did you mean '{nearest}'" in str(error.value)
    assert all(name in str(error.value) for name in list_models())


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="'r50' is registered already"):
        register("r50")(lambda sizes, dropout: None)


def test_an_option_is_added_or_replaced_if_networks_of_the_name_have_it():
    assert with_option("ghostnet", "output", "e") == "ghostnet(output='e')"
    assert with_option("ghostnet(output='f', width=0.5)", "output", "e") == "ghostnet(output='e', width=0.5)"
    assert with_option("mbf", "output", "e") == "mbf"
    with pytest.raises(UserError, match="ghostnet has no parameter wide"):
        with_option("ghostnet(wide=1)", "output", "e")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("r50", "r50()", True),
        ("vit_t", "vit_t(drop_path=0.1, mask=0.05)", True),
        ("vit_t", "vit_t_dp005_mask0", True),
        ("vit_t", "vit_s", False),
        ("mobilenet_v2(width=1.0)", "mobilenet_v2(bn_momentum=0.01)", True),
        ("mobilenet_v2", "mobilenet_v2(activation='prelu')", False),
        ("r50", "r51", False),
    ],
)
def test_networks_that_compute_the_same(one, other, same):
    assert same_network(one, other) is same


def test_what_a_network_fixes_itself_stays_fixed():
    network = get_model("mbf_tiny", 16)
    rules = ParameterRules(5e-4)
    for frozen in ((), ("backbone.*",), ()):
        freeze(network, replace(rules, frozen=frozen))
        fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
        assert "features.weight" in fixed and ("fc.weight" in fixed) == bool(frozen)
