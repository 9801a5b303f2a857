"""Puts what a terminal really shows into the pages' samples: python -m tests.docs.record [PAGE ...]

A sample is a text block below a comment of its command, and of a pattern of the lines that are kept, all if there is
none:

    <!-- output: ./train_graph_distributed.sh
         keep: Loss|Accuracy -->

Commands run in this folder, in the order of the pages named, with the environment of setup.sh; by default all pages
are recorded, beginning with the one that trains the model of the others. Dates are cut off, and lines that are left out
become "...". A command that fails leaves its page as it is.
"""

import argparse
import re
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SAMPLE = re.compile(
    r"(<!-- output: (?P<command>[^\n]+?)(?:\n +keep: (?P<keep>[^\n]+?))? -->\n\n```text\n)(?P<lines>.*?)(?=^```$)",
    re.DOTALL | re.MULTILINE,
)
_DATE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


def shown(output: str, keep: str | None) -> str:
    """The lines of a sample."""
    lines: list[str] = []
    for line in (_DATE.sub("", line).rstrip() for line in output.splitlines()):
        if keep is None or re.search(keep, line):
            lines.append(line)
        elif lines and lines[-1] != "...":
            lines.append("...")
    return "\n".join(lines).removesuffix("\n...") + "\n"


def recorded(text: str, run) -> str:
    """A page with the output of `run(command)` in place of its samples."""
    return SAMPLE.sub(lambda found: found[1] + shown(run(found["command"]), found["keep"]), text)


def _run(command: str) -> str:
    print(f"$ {command}", flush=True)
    done = subprocess.run(
        ["bash", "-c", f"source ./setup.sh && {command}"],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="*", metavar="PAGE")
    pages = sorted(REPO.glob("docs/*.md"), key=lambda page: (page.stem != "getting_started", page))
    for page in parser.parse_args().pages or pages:
        text = page.read_text()
        if SAMPLE.search(text):
            page.write_text(recorded(text, _run))


if __name__ == "__main__":
    main()
