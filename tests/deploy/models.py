"""Models with random weights, whose BatchNorms know faces: without that, activations explode in deep networks."""

from pathlib import Path

import oneflow as flow

from backbones import get_model
from deploy.images import drawn_faces
from deploy.input_format import own_format
from deploy.weights import save_backbone
from planning.inference import learn_statistics
from utils.pixels import USUAL_SHAPE


def make_model(folder: Path, network: str, embedding_size: int = 64, seed: int = 0, **about: int) -> Path:
    """The folder of a model of `network`; about: as of `save_backbone`."""
    flow.manual_seed(seed)
    module = get_model(network, embedding_size)
    learn_statistics(module, own_format(USUAL_SHAPE).apply(drawn_faces(4)))
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return save_backbone(folder, state, network, embedding_size, **about).parent
