"""Networks that compute on (B, H, W, C), in which cuDNN's convolutions of half numbers run on tensor cores as they are.

The parameters stay what they are, (O, I, h, w) convolutions among them, so checkpoints and exports know nothing of it;
a convolution turns its weights in each step, which takes as long as copying them once. OneFlow has a switch of its own,
ONEFLOW_ENABLE_NHWC, which makes other weights and is not used here.
"""

import oneflow as flow
from oneflow import nn

from backbones.outputs import MeanOfPlaces, PlaceWeights
from utils.errors import UserError


class _Conv2d(nn.Conv2d):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return flow._C.conv2d(
            x,
            self.weight.permute(0, 2, 3, 1),
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            channel_pos="channels_last",
        )


class _PReLU(nn.PReLU):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return flow._C.prelu(x.reshape(-1, x.shape[3]), self.weight).reshape(*x.shape)  # its channels are axis 1


class _PlaceWeights(PlaceWeights):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return (x * self.weight.permute(1, 2, 3, 0)).sum(dim=(1, 2), keepdim=True)


class _MeanOfPlaces(MeanOfPlaces):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return x.mean(dim=(1, 2))


class _Flatten(nn.Flatten):
    """The order of a linear layer's inputs stays channels first."""

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        # Not by super(): in a compiled step `self` is a stand-in of nn.Graph's.
        return flow.flatten(x.permute(0, 3, 1, 2) if x.ndim == 4 else x, self.start_dim, self.end_dim)


_FOR_CHANNELS_LAST = {
    nn.Conv2d: _Conv2d,
    nn.PReLU: _PReLU,
    nn.Flatten: _Flatten,
    PlaceWeights: _PlaceWeights,
    MeanOfPlaces: _MeanOfPlaces,
}
_ANY_LAYOUT = (
    nn.ReLU,
    nn.SiLU,
    nn.Hardswish,
    nn.Identity,
    nn.Dropout,
    nn.Linear,
    nn.BatchNorm1d,
    nn.Sequential,
    nn.ModuleList,
)


def use_channels_last(network: nn.Module, name: str) -> None:
    """Has a network compute on images (B, H, W, C); in place, before its first use.

    A class of modules of our own says `any_layout = True` if it looks at no axis. Raises UserError, naming the network
    `name`, for one that does, and for grouped convolutions.
    """
    for module in network.modules():
        kind = type(module)
        if kind is nn.Conv2d and module.groups > 1:  # OneFlow 0.9.0 cannot infer the shapes of its gradients
            raise UserError(f'data_format = "NHWC" is not possible with {name}, which has grouped convolutions')
        if kind in _FOR_CHANNELS_LAST:
            module.__class__ = _FOR_CHANNELS_LAST[kind]
        elif kind is nn.BatchNorm2d:
            module.channel_axis = 3
        elif kind is nn.MaxPool2d:
            module.channel_pos = "channels_last"
        elif kind not in _ANY_LAYOUT and not getattr(kind, "any_layout", False):
            raise UserError(f'data_format = "NHWC" is not possible with {name}, whose {kind.__name__} needs NCHW')
