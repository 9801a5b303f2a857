"""A batch of damages in this process: a line of JSON before each and one after it.

python -m tests.fuzz.child FOLDER < TASKS, where TASKS are lines of {"format", "seed", "number"} or {"attack"}.
"""

import json
import random
import resource
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzz.attacks import ATTACKS
from tests.fuzz.formats import FORMATS
from tests.fuzz.judge import clear, judge

_ROOM = 7 << 30  # bytes of addresses beyond those that this process has


def damaged(form, folder: Path, seed: int, number: int) -> str:
    """Damages one of the files of `form` in `folder`; its name."""
    rng = random.Random(f"{seed} {form.name} {number}")
    file = rng.choice(form.files)
    content = (folder / file).read_bytes()
    for _ in range(9):
        changed = form.mutator(file)(rng, content)
        if changed != content:
            break
    (folder / file).write_bytes(changed)
    form.after(folder)
    return file


class Batch:
    def __init__(self, folder: Path) -> None:
        self._folder, self._wholes = folder, {}

    def run(self, task: dict) -> tuple[str, str]:
        name = task.get("format") or ATTACKS[task["attack"]].format
        form, folder = FORMATS[name], self._folder / name
        if name not in self._wholes:
            clear(folder)
            form.make(folder)
            self._wholes[name] = (
                {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()},
                form.read(folder),
            )
        files, whole = self._wholes[name]
        try:
            if "attack" in task:
                file = ATTACKS[task["attack"]].make(folder) or form.files[0]
                fate = judge(form, folder, file, None)
            else:
                fate = judge(form, folder, damaged(form, folder, task["seed"], task["number"]), whole)
        finally:
            for path in folder.rglob("*"):
                if path.is_file() and path not in files:
                    path.unlink()
            for path, content in files.items():
                if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
                    path.write_bytes(content)
        return fate


def main() -> None:
    out = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        batch = Batch(Path(folder))
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, resource.RLIM_INFINITY))
        for line in sys.stdin:
            task = json.loads(line)
            print(json.dumps({"begun": task}), file=out, flush=True)
            try:
                fate, said = batch.run(task)
            except Exception:  # of the fuzzer itself
                print(json.dumps({"broken": traceback.format_exc()}), file=out, flush=True)
                raise
            print(json.dumps({"task": task, "fate": fate, "said": said}), file=out, flush=True)


if __name__ == "__main__":
    main()
