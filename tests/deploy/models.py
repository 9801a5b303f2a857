"""Models with random weights, whose BatchNorms know faces: without that, activations explode in deep networks."""

from pathlib import Path

import oneflow as flow
from oneflow import nn

from backbones import get_model
from deploy.images import drawn_faces
from deploy.weights import save_backbone


def make_model(folder: Path, network: str, embedding_size: int = 64) -> Path:
    """The folder of a model of `network`."""
    flow.manual_seed(0)
    module = get_model(network, embedding_size)
    norms = [part for part in module.modules() if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms[:-1]:  # the last one's variance over so few faces would only blow up what rounding leaves
        norm.momentum = 1.0
    with flow.no_grad():
        pixels = (flow.tensor(drawn_faces(4)).to(flow.float32) - 127.5) / 127.5
        module.train()(pixels.permute(0, 3, 1, 2).contiguous())
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return save_backbone(folder, state, network, embedding_size).parent
