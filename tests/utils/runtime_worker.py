"""One rank of tests/utils/test_runtime.py: FOLDER; what the exchanges gave goes to FOLDER/RANK.npz."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow

from utils.runtime import Runtime, start_runtime


def main(folder: Path) -> None:
    cpu = start_runtime("cpu")
    # As on a machine with cards, of which host data must not make use: here it would fail.
    runtime = Runtime("cuda", cpu.rank, cpu.ranks, flow.placement("cuda", ranks=list(range(cpu.ranks))))
    rank = runtime.rank
    own = (np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * rank).T  # whose rows are not in one piece
    exchanged = {
        "sum": runtime.sum_over_ranks(own),
        "float64": runtime.sum_over_ranks(np.full(3, 1 / 3 + rank)),
        "rows": runtime.gather_rows(np.full((2 + rank, 4), rank, np.float32), [2 + r for r in range(runtime.ranks)]),
        "labels": runtime.gather_rows(np.array([rank * 2**40 + 1]), [1] * runtime.ranks),
        "exchange": runtime.exchange(own),
        "flags": runtime.exchange(np.array([rank == 1])),
        "own": own,
    }
    images = np.full((2, 3), rank, np.float32)
    batch = cpu.split_batch(images)
    exchanged["batch"] = batch.to_global(sbp=flow.sbp.broadcast).to_local().numpy()
    exchanged["shares_memory"] = np.shares_memory(batch.to_local().numpy(), images)
    np.savez(folder / f"{rank}.npz", **exchanged)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
