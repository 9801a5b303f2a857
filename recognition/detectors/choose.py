"""Which detector: CenterFace, OpenCV's cascades, or a model file, whose outputs say what it is."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from recognition.detectors.cascade import CascadeDetector
from recognition.detectors.centerface import CenterFaceDetector, packaged_model
from recognition.detectors.scrfd import ScrfdDetector
from recognition.detectors.session import DetectorSession
from recognition.detectors.yunet import YuNetDetector
from utils.errors import UserError
from utils.reading.faults import shown

DEFAULT, CASCADE = CenterFaceDetector.name, CascadeDetector.name
HELP = f"{DEFAULT}, {CASCADE}, or a YuNet, SCRFD or CenterFace model; default %(default)s"

_TRIED = (64, 64, 3)  # a picture: what cannot be run shows at once
_KINDS = {12: "yunet", 9: "scrfd", 4: "centerface"}  # by the number of outputs

Detector = CenterFaceDetector | ScrfdDetector | YuNetDetector | CascadeDetector


def load_detector(choice: str = DEFAULT, threshold: float | None = None, threads: int | None = None) -> Detector:
    """The detector of that name, or of the model file at that path.

    Args:
        threshold: of the score, in [0, 1]; None: the detector's own.
        threads: of ONNX Runtime; default one for each core we may use.

    Raises:
        UserError: there is no such file, it is no detector with five landmarks, or the threshold is impossible.
    """
    if threshold is not None and not 0 < threshold < 1:
        raise UserError(f"a detector's threshold of {threshold} is not possible: scores are between 0 and 1")
    if choice == CASCADE:
        if threshold is not None:
            raise UserError("the cascade has no scores, so no threshold of them; leave it out, or the cascade")
        return CascadeDetector()
    path = packaged_model() if choice == DEFAULT else Path(choice)
    if not path.is_file():
        raise UserError(f"there is no detector at {path}; leave --detector out to take the one that is installed")
    settings = {} if threshold is None else {"threshold": threshold}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of a file that is no model is in our sentence
            model = onnx.load(str(path))
    except (DecodeError, OSError, ValueError) as error:
        raise _unusable(path, error) from None
    kind = _KINDS.get(len(model.graph.output))
    if kind is None:
        raise UserError(
            f"{path} has {len(model.graph.output)} outputs, so it is none of YuNet (12), SCRFD with landmarks (9) and "
            "CenterFace (4)"
        )
    if kind == "yunet":
        _try_first(model, path)
        return YuNetDetector(path, **settings)
    make: Callable[..., Detector] = ScrfdDetector if kind == "scrfd" else CenterFaceDetector
    try:
        detector = make(model, threads=threads, **settings)
        detector(np.zeros(_TRIED, np.uint8))
        return detector
    except Exception as error:  # ONNX Runtime's have no common class of their own
        raise _unusable(path, error) from None


def _try_first(model: onnx.ModelProto, path: Path) -> None:
    """Raises UserError if ONNX Runtime cannot run a model: OpenCV's own reader ends the process with many of these."""
    try:
        session = DetectorSession(model, threads=1)
        height, width = session.fixed or _TRIED[:2]
        session(np.zeros((1, 3, height, width), np.float32))
    except Exception as error:  # ONNX Runtime's have no common class of their own
        raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a detector that can be run: {shown(error)}")
