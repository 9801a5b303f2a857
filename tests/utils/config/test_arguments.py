"""Which argument is the CONFIG, and which a key that is set."""

from pathlib import Path

import pytest

from utils.config.arguments import parse_training
from utils.config.file import find_config
from utils.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "config", "typed"),
    [
        (["lr=0.5"], "demo", ["lr=0.5"]),
        (["bogus=1"], "demo", ["bogus=1"]),
        (["run=1/my.py", "lr=0.5"], "run=1/my.py", ["lr=0.5"]),
        (["./no=1/my.py"], "./no=1/my.py", []),
        (["network=r50/my.py"], "demo", ["network=r50/my.py"]),
    ],
)
def test_a_file_may_have_an_equals_sign_in_its_path(
    arguments: list[str], config: str, typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("run=1", "network=r50"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").touch()
    monkeypatch.chdir(tmp_path)
    training = parse_training(arguments, "train.py")
    assert (training.config, training.typed) == (config, typed)


def test_a_name_that_no_file_can_have_is_one_sentence() -> None:
    with pytest.raises(UserError, match="cannot be looked for: File name too long"):
        find_config("a" * 300)


def test_a_closed_folder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UserError, match=r"closed/my\.py cannot be looked for: Permission denied"):
        find_config("closed/my.py")
