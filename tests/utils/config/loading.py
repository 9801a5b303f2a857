"""What the tests of configs share."""

from collections.abc import Callable
from pathlib import Path

from easydict import EasyDict

from utils.config import load_config

WriteConfig = Callable[..., Path]


def load(*overrides: str) -> EasyDict:
    return load_config("base", overrides, require_data=False)
