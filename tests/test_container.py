"""The Dockerfile and what a build copies. No image is built here."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DOCKERFILE = (REPO / "Dockerfile").read_text()


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, REPO / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_has_the_libraries_that_a_bare_system_lacks():
    """Those of CI but for what the tests alone need."""
    wanted = re.search(r"apt-get install -y -qq (.+)", (REPO / ".ci/run").read_text())[1].split()
    missing = {name for name in wanted if not re.search(rf"\s{re.escape(name)}\s", DOCKERFILE)}
    assert missing == {"iproute2", "openjdk-17-jre-headless"}


def test_packages_are_installed_as_on_any_machine():
    """By set-up, from the pins, without what pyproject.toml leaves out."""
    names = re.search(r"^COPY (.+) \./\nRUN .*\./setup.sh$", DOCKERFILE, re.MULTILINE)[1].split()
    assert set(names) == {"setup.sh", "requirements.txt", "pyproject.toml"}
    assert all((REPO / name).is_file() for name in names)


def test_a_build_copies_the_project_and_nothing_else():
    ignored = [line for line in (REPO / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def is_ignored(path: str) -> bool:
        parts = path.split("/")
        folders = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(
            fnmatch(folder, rule) or (rule.startswith("**/") and fnmatch(folder.rpartition("/")[2], rule[3:]))
            for folder in folders
            for rule in ignored
        )

    tracked = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout.split()
    assert {path for path in tracked if is_ignored(path)} == {".ci/run"}
    untracked = (".venv/bin/python", ".uv/bin/uv", "work_dirs/demo/model.safetensors", "demo_data/ofrecord/part-00000")
    for path in (*untracked, "native/build/kernels.so", ".master_token", "heads/__pycache__/x.pyc", ".mypy_cache/3.10"):
        assert is_ignored(path), path
