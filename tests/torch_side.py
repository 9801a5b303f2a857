"""The torch side of tests/tools/test_weights.py, run by a Python that has torch: no import of ours.

python torch_side.py make NETWORK IMAGES.npy BACKBONE.pth EMBEDDINGS.npy     random weights, and what they give
python torch_side.py embed NETWORK IMAGES.npy BACKBONE.pth EMBEDDINGS.npy    given weights

The networks are written from the papers, with arcface_torch's names.
"""

import sys

import numpy as np
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(ins), nn.BatchNorm2d(outs), nn.BatchNorm2d(outs)
        self.conv1 = nn.Conv2d(ins, outs, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(outs, outs, 3, stride, 1, bias=False)
        self.prelu = nn.PReLU(outs)
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(ins, outs, 1, 2, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return shortcut + self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))


class IResNet(nn.Module):
    def __init__(self, blocks, size=512):
        super().__init__()
        self.conv1, self.bn1, self.prelu = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        ins = 64
        for stage, count in enumerate(blocks, 1):
            outs = 32 * 2**stage
            layer = [Block(ins if number == 0 else outs, outs, 2 if number == 0 else 1) for number in range(count)]
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
            ins = outs
        self.bn2, self.fc, self.features = nn.BatchNorm2d(512), nn.Linear(512 * 49, size), nn.BatchNorm1d(size)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


class Layers(nn.Module):
    """A sequence called `layers`, added to its input or not."""

    def __init__(self, *layers, residual=False):
        super().__init__()
        self.layers, self.residual = nn.Sequential(*layers), residual

    def forward(self, x):
        return self.layers(x) + x if self.residual else self.layers(x)


def conv(ins, outs, kernel=1, stride=1, groups=1, padding=None, act=True):
    padding = kernel // 2 if padding is None else padding
    layers = [nn.Conv2d(ins, outs, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(outs)]
    return Layers(*layers, *([nn.PReLU(outs)] if act else []))


def bottleneck(ins, outs, hidden, stride):
    depthwise = conv(hidden, hidden, 3, stride, hidden)
    return Layers(conv(ins, hidden), depthwise, conv(hidden, outs, act=False), residual=stride == 1)


def repeat(width, hidden, count):
    return Layers(*(bottleneck(width, width, hidden, 1) for _ in range(count)))


class MobileFaceNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                conv(3, 128, 3, 2),
                conv(128, 128, 3, groups=64),
                bottleneck(128, 128, 128, 2),
                repeat(128, 128, 4),
                bottleneck(128, 256, 256, 2),
                repeat(256, 256, 6),
                bottleneck(256, 256, 512, 2),
                repeat(256, 256, 2),
            ]
        )
        self.conv_sep = conv(256, 512)
        last = nn.Linear(512, 512, bias=False)
        pool = conv(512, 512, 7, groups=512, padding=0, act=False)
        self.features = Layers(pool, nn.Flatten(), last, nn.BatchNorm1d(512))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


NETWORKS = {"r18": lambda: IResNet((2, 2, 2, 2)), "r50": lambda: IResNet((3, 4, 14, 3)), "mbf": MobileFaceNet}


def main(action, name, images, weights, embeddings):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    pixels = (torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).float() - 127.5) / 127.5
    if action == "make":
        norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0.0, 0.3)
        network.train()(pixels)
        # Random networks see faces as nearly one; statistics of that would only blow up what rounding leaves.
        nn.init.normal_(norms[-1].running_mean, 0.0, 0.3)
        nn.init.uniform_(norms[-1].running_var, 0.5, 1.5)
        torch.save(network.state_dict(), weights)
    else:
        network.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad():
        np.save(embeddings, network.eval()(pixels).numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
