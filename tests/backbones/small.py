"""Small forms of all networks, one or two of a family, for what is tested of each."""

from functools import partial

import oneflow as flow
from oneflow import nn

from backbones import get_model
from backbones.checkpointing import segments
from backbones.efficientnet import efficientnet
from backbones.registry import Sizes
from backbones.resnest import resnest
from backbones.resnet import resnet
from backbones.resnet_v2 import resnet_v2
from backbones.se_resnext import se_resnext
from backbones.vit import vit
from utils.pixels import USUAL_SHAPE, ImageShape

# As small as their options allow.
SMALL = {
    "efficientnet_b0": "width=0.25, depth=0.3, drop_path=0.0",
    "ghostnet": "width=0.25",
    "mbf": "",
    "mbf_tiny": "",
    "mobilenet": "width=0.25",
    "mobilenet_v2": "width=0.25",
    "mobilenet_v3_small": "width=0.25",
    "r18": "",
    "se_mobilefacenet": "width=0.25, pointwise=True",
}
# Of fewer blocks than any name has.
_BLOCKS = (1, 2, 1, 1)
SHALLOW = {
    "resnest50": partial(resnest, blocks=_BLOCKS, stem_width=32, width=0.125),
    "resnet50": partial(resnet, blocks=_BLOCKS, width=0.125, activation="prelu"),
    "resnet50_v2": partial(resnet_v2, blocks=_BLOCKS, width=0.125, stem="face"),
    "se_resnext50": partial(se_resnext, blocks=_BLOCKS, width=0.25),
    "vit_t": partial(vit, dim=16, depth=2),
}
# The same networks with layers that draw.
DRAWN = {
    "efficientnet_b0-drawn": partial(efficientnet, scales=(0.25, 0.3), drop_path=0.8),
    "vit_t-drawn": partial(vit, dim=16, depth=2, drop_path=0.5, mask=0.3),
}
NAMES = sorted([*SMALL, *SHALLOW])
EMBEDDING = 32


def small(name: str, image: ImageShape = USUAL_SHAPE) -> nn.Module:
    """One of `NAMES` or `DRAWN`, always with the same values."""
    flow.manual_seed(0)
    builder = SHALLOW.get(name) or DRAWN.get(name)
    if builder is not None:
        return builder(Sizes(EMBEDDING, image), 0.0)
    return get_model(f"{name}({SMALL[name]})" if SMALL[name] else name, EMBEDDING, image=image)


def short(name: str, image: ImageShape) -> nn.Module:
    """The same with each kind of block once: of those that keep the shape and have the same parameters, the first."""
    network, kept, known = small(name, image).to("cpu"), {}, set()  # the CPU of this rank
    modules = dict(network.named_modules())
    blocks = [key for kind in ("stages", "blocks") for key in segments(network, kind) if list(modules[key].children())]

    def note(block: nn.Module, given: tuple, made: flow.Tensor) -> None:
        kept[id(block)] = given[0].shape == made.shape

    for key in blocks:
        modules[key].register_forward_hook(note)
    with flow.no_grad():
        network.eval()(flow.zeros(1, *image[2:], *image[:2]))
    for key in blocks:
        modules[key]._forward_hooks.clear()
        parameters = (type(modules[key]), *(own for own, _ in modules[key].named_parameters()))
        if kept[id(modules[key])] and parameters in known:
            parent, _, own = key.rpartition(".")
            setattr(modules[parent], own, nn.Identity())
        known |= {parameters} if kept[id(modules[key])] else set()
    return network
