"""Networks of others in torch, and checkpoints as their authors save them; run by a Python that has torch.

python torch_peers.py IMAGES.npy FOLDER     writes magface.pth, adaface.ckpt and curricularface.pth, random weights, and
                                            what each gives for the images (N, 112, 112, 3) uint8 RGB, as NAME.npy

IResNet and IR-18 are written from their public descriptions, with those names.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_side import IResNet


class Bottleneck(nn.Module):
    """Of face.evoLVe; `middle`: with the BatchNorm that TFace and AdaFace added."""

    def __init__(self, ins, outs, stride, middle):
        super().__init__()
        if ins == outs:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(ins),
            nn.Conv2d(ins, outs, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(outs)] if middle else []),
            nn.PReLU(outs),
            nn.Conv2d(outs, outs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outs),
        )

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class IR(nn.Module):
    def __init__(self, middle, blocks=(2, 2, 2, 2), size=64):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        body, ins = [], 64
        for outs, count in zip((64, 128, 256, 512), blocks, strict=True):
            for number in range(count):
                body.append(Bottleneck(ins, outs, 2 if number == 0 else 1, middle))
                ins = outs
        self.body = nn.Sequential(*body)
        last = nn.BatchNorm1d(size, affine=False)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), nn.Linear(512 * 49, size), last
        )

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


class AttributeDict(dict):
    """As Lightning keeps settings: of a class that is not there where the file is read."""


def randomized(network, epsilon=1e-5):
    """Weights that keep activations in bounds, and statistics of all kinds, small variances too."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.4)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = epsilon
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.running_var[::7] = 1e-4  # there an epsilon counts
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 0.9)
                module.weight.data[::7] = 0.01
                nn.init.normal_(module.bias, 0.0, 0.2)
    return network.eval()


def main(images, folder):
    torch.manual_seed(0)
    folder = Path(folder)
    rgb = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).float()
    lightning = types.ModuleType("lightning_settings")
    lightning.AttributeDict, AttributeDict.__module__ = AttributeDict, lightning.__name__
    sys.modules[lightning.__name__] = lightning

    def write(name, network, pixels, content):
        with torch.no_grad():
            np.save(folder / f"{Path(name).stem}.npy", network(pixels).numpy())
        torch.save(content(network.state_dict()), folder / name)

    def magface(state):
        parallel = {f"features.module.{name}": array for name, array in state.items()}
        optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
        head = {"module.fc.weight": torch.ones(64, 9)}
        return {"epoch": 25, "arch": "iresnet18", "state_dict": {**parallel, **head}, "optimizer": optimizer}

    def adaface(state):
        model = {f"model.{name}": array for name, array in state.items()}
        settings = AttributeDict(arch="ir_18", lr=0.1)
        return {
            "epoch": 25,
            "pytorch-lightning_version": "1.4.4",
            "callbacks": {AttributeDict: {"best": torch.tensor(0.9)}},
            "hyper_parameters": settings,
            "state_dict": {**model, "head.kernel": torch.ones(64, 9)},
        }

    write("magface.pth", randomized(IResNet((2, 2, 2, 2), 64), 2e-5), rgb.flip(1) / 255, magface)
    write("adaface.ckpt", randomized(IR(middle=True)), (rgb.flip(1) / 255 - 0.5) / 0.5, adaface)
    write("curricularface.pth", randomized(IR(middle=False)), (rgb / 255 - 0.5) / 0.5, dict)


if __name__ == "__main__":
    main(*sys.argv[1:])
