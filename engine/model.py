"""What a step trains: backbone and head as one module."""

from collections.abc import Iterable, Mapping

import oneflow as flow
from oneflow import nn

from backbones.drawn import KEPT, PLACES, Draws
from losses import TotalLoss
from optim.parameters import ParameterRules

NETWORK_INPUTS = ("mirrored", KEPT, PLACES)  # those that a backbone's forward pass takes; the losses take the others


class Classifier(nn.Module):
    """images (B, H, W, C) uint8 S(0), labels (B,) S(0), state of the loss -> what the head returns: the objective,
    which is the scalar to differentiate, and the step's outputs. No gradient reaches a backbone of which nothing
    trains.

    loss: its losses on embeddings are added to the head's. inputs: what there is besides, a row for each image, S(0):
    "mirrored" (B,) int8, images to turn left to right; "kept" and "places", what `draws` draws for the backbone's
    layers; "random" (B, 1) float32, standard normal numbers; "classes" (B,) int64, for `labels` are slots of a sample;
    "records" (B,) int64; "teacher" (B, T) float32; "means" (B, E) float32, of classes. projection: of embeddings to a
    teacher's length, (B, E) -> (B, T), if that is another one. teacher: a frozen network that gives them in the step
    itself, images -> (B, T). pixels: makes of bytes what backbones take, (B, C, H, W) float32; without it they take the
    images as they are.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        loss: TotalLoss | None = None,
        projection: nn.Module | None = None,
        teacher: nn.Module | None = None,
        pixels: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.loss, self.projection = backbone, head, loss, projection
        self.teacher, self.pixels = teacher, pixels
        self.draws = Draws(backbone)
        self.frozen = not any(parameter.requires_grad for parameter in backbone.parameters())

    def forward(
        self,
        images: flow.Tensor,
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        inputs: Mapping[str, flow.Tensor],
    ) -> tuple[flow.Tensor, dict]:
        return self.objective(self.embed(images, inputs), labels, state, inputs)

    def embed(self, images: flow.Tensor, inputs: Mapping[str, flow.Tensor]) -> dict[str, flow.Tensor]:
        """images and, of the inputs, `NETWORK_INPUTS` -> "embedding" (B, E) and, if a loss wants a teacher, "student"
        (B, T), and "teacher" (B, T) of one that is a part of the step.
        """
        if self.pixels is not None:
            images = self.pixels(images, inputs.get("mirrored"))
        with self.draws.given(inputs):
            embedding = self.backbone(images)
        outputs = {"embedding": embedding.detach() if self.frozen else embedding}
        if self.loss is not None and self.loss.wants_teacher:
            outputs["student"] = outputs["embedding"]
            if self.projection is not None:
                outputs["student"] = self.projection(outputs["embedding"])
            if self.teacher is not None:
                outputs["teacher"] = self.teacher(images).detach()
        return outputs

    def objective(
        self,
        embedded: Mapping[str, flow.Tensor],
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        inputs: Mapping[str, flow.Tensor],
    ) -> tuple[flow.Tensor, dict]:
        """As `forward`, from what `embed` gives, S(0). If a loss wants class means, the results have "embeddings" too,
        (B, E) float32 broadcast, for them to follow.
        """
        objective, outputs = self.head(embedded["embedding"], labels, state, inputs.get("random"))
        if self.loss is not None:
            objective, outputs["losses"] = self.loss.add(objective, outputs["losses"], embedded, inputs)
            if self.loss.means_rate is not None:
                whole = embedded["embedding"].detach().to(flow.float32).to_global(sbp=flow.sbp.broadcast)
                outputs["results"]["embeddings"] = whole
        return objective, outputs


def freeze(module: nn.Module, rules: ParameterRules, name: str = "backbone") -> None:
    """Takes the gradients from parameters that do not train, and the rest from those that do. What a network itself had
    fixed before the first call, such as the scale of its last BatchNorm, stays so.

    A module whose own parameters are all frozen is used as it is, BatchNorm's statistics too; one whose parts' are as
    well, as a whole: nothing in it is left out at random. `belongs_to` of a network are layers without parameters by
    name, each with the parameter it stops with.
    """
    if not hasattr(module, "fixed_by_itself"):
        module.fixed_by_itself = {own for own, parameter in module.named_parameters() if not parameter.requires_grad}
    for own, parameter in module.named_parameters():
        parameter.grad = None  # of the phase before: a compiled step could not add to it
        parameter.requires_grad_(rules.trains(f"{name}.{own}") and own not in module.fixed_by_itself)
    module.train(any(parameter.requires_grad for parameter in module.parameters()))
    for part in module.modules():
        if _is_frozen(part.parameters(recurse=False)):
            part.training = False  # alone: the parts of a network with parameters of its own go on
        if _is_frozen(part.parameters()):
            part.train(False)
    for layer, parameter in getattr(module, "belongs_to", {}).items():
        getattr(module, layer).train(getattr(module, parameter).requires_grad)


def _is_frozen(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether there are any, and none trains."""
    trains = [parameter.requires_grad for parameter in parameters]
    return bool(trains) and not any(trains)
