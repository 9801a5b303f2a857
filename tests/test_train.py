"""train.py's own part: what a start leaves of the folder that it goes on with."""

import logging
import resource
import signal
import sys

import pytest

from train import start_output
from utils.config import load_config
from utils.errors import UserError


def test_a_disk_that_is_full_leaves_the_config_of_before(tmp_path, monkeypatch):
    # Modules that are imported meanwhile would be compiled into files cut off at the limit.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    config = tmp_path / "config.py"
    config.write_text("config = 'of before'")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot be written: File too large$"):
            start_output(tmp_path, load_config("synthetic"), 5, logging.getLogger("start"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert config.read_text() == "config = 'of before'"
    assert {path.name for path in tmp_path.iterdir()} == {"config.py", ".lock"}
