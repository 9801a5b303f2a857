"""Losses by the names that configs use."""

from losses.margin import Margin
from losses.on_embeddings import EmbeddingLoss
from utils.errors import UserError
from utils.registry import Registry

_MARGINS, _ON_EMBEDDINGS = Registry[Margin]("loss"), Registry[EmbeddingLoss]("loss on embeddings")
register, list_losses = _MARGINS.register, _MARGINS.names  # those over class centers
# Those on embeddings, to be added to one over class centers.
register_on_embeddings, list_embedding_losses = _ON_EMBEDDINGS.register, _ON_EMBEDDINGS.names
make_embedding_loss = _ON_EMBEDDINGS.make


def make_margin(name: str, **parameters) -> Margin:
    """The loss over class centers of that name. Raises UserError if there is none, or for impossible values."""
    margin = _MARGINS.make(name, **parameters)
    if margin.scale <= 0:
        raise UserError(f"s = {margin.scale:g} of {name} is not possible: the scale of the logits is above 0")
    return margin
