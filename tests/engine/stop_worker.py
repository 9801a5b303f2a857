"""One rank of tests/engine/test_stop.py: FOLDER. Rank 1 gets a signal in step 3; RANK.txt says when each stopped."""

import os
import signal
import sys
from pathlib import Path

from engine.stop import StopSignal
from utils.runtime import start_runtime


def main(folder: Path) -> None:
    runtime = start_runtime("cpu")
    with StopSignal(runtime) as stop:
        for step in range(1, 20):
            if runtime.rank == 1 and step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            if stop.agreed(due=step % 5 == 0):
                break
    (folder / f"{runtime.rank}.txt").write_text(str(step))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
