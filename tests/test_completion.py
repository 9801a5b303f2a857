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
        ("./train_ddp.sh demo lr=0", set()),
        ("./convert.sh --op", {"--opset"}),
        ("python tools/embed.py --dt", {"--dtype"}),
        ("python tools/edit_dataset.py merge --same", {"--same_identities"}),
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
