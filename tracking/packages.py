"""Which packages the trackers of a config need."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from utils.errors import UserError

_PACKAGES = {"using_wandb": "wandb", "using_mlflow": "mlflow"}


def check_trackers(cfg: Mapping[str, Any]) -> None:
    """Raises UserError if the config wants a tracker whose package is not installed."""
    for key, package in _PACKAGES.items():
        if cfg[key] and importlib.util.find_spec(package) is None:
            raise UserError(f"{key}=True needs the package {package}; ./setup.sh trackers installs it")
