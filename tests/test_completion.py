"""Tab completion in bash: options, keys and names of configs."""

import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./val.sh --mo", {"--model", "--model_path"}),
        ("./train_graph_distributed.sh --dr", {"--dry_run"}),
        ("./train_ddp.sh ms1mv3_r1", {"ms1mv3_r18", "ms1mv3_r100"}),
        ("./train_ddp.sh demo batch", {"batch_size="}),
        ("./train_ddp.sh demo lr =", set()),  # bash's words of lr= and lr=0
        ("./train_ddp.sh demo loss = ms1", set()),
        ("./val.sh --model = --mo", set()),
        ("./convert.sh --op", {"--opset"}),
        ("python tools/embed.py --dt", {"--dtype"}),
        ("python tools/edit_dataset.py merge --same", {"--same_identities"}),
        ("python3 tools/embed.py --dt", {"--dtype"}),
        ("python elsewhere.py --dt", set()),
    ],
)
def test_words_are_completed(line: str, expected: set[str]) -> None:
    words = " ".join(f"'{word}'" for word in line.split())
    body = (
        f"source tools/completion.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _face_complete"
    )
    command = ["bash", "-c", body + '; printf "%s\\n" "${COMPREPLY[@]}"']
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("program", ["./val.sh", "python", "python3"])
def test_programs_are_registered(program: str) -> None:
    command = ["bash", "--norc", "-c", f"source tools/completion.bash; complete -p {program.removeprefix('./')}"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert "_face_complete" in done.stdout
