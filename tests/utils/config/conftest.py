"""Fixtures of the tests of configs."""

from pathlib import Path

import pytest

from tests.utils.config.loading import WriteConfig


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    """Writes a run file with the given statements after `config = edict()`."""

    def write_config(*statements: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(("from easydict import EasyDict as edict", "config = edict()", *statements)) + "\n")
        return path

    return write_config
