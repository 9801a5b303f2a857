"""The layouts that are known."""

from dataclasses import dataclass

from deploy.importing.identity import EPSILON


@dataclass(frozen=True)
class Layout:
    """whose: for a person; input: that its authors train with; epsilon: of its BatchNorms."""

    whose: str
    input: str = "RGB, (x / 255 - 0.5) / 0.5"
    epsilon: float = EPSILON


LAYOUTS = {
    "arcface_torch": Layout("InsightFace's arcface_torch (and ours)"),
    "magface": Layout("MagFace's IResNet", "BGR, x / 255", 2e-5),
    "adaface": Layout("AdaFace's IR", "BGR, (x / 255 - 0.5) / 0.5"),
    "curricularface": Layout("CurricularFace's and face.evoLVe's IR"),
    "tface": Layout("IR with a BatchNorm between convolution and PReLU, trained on RGB, as TFace's"),
    "mxnet": Layout("InsightFace's MXNet IResNet with output E", "RGB, (x - 127.5) / 128", 2e-5),
}
