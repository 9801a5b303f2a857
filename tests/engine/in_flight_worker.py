"""One rank of tests/engine/test_in_flight.py: MODE FOLDER; what it measures of a few steps goes to FOLDER/RANK.json."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from data.loader import SyntheticLoader
from engine.trainer import Trainer
from utils.config import load_config
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime

BATCH, STEPS, LISTEN = 128, 3, 0.3


def main(mode: str, folder: Path) -> None:
    settings = ["network=mbf_tiny", "embedding_size=64", f"graph={mode == 'graph'}", "device=cpu"]
    cfg = load_config("configs/synthetic.py", [*settings, "num_classes=100", "num_image=4096", f"batch_size={BATCH}"])
    runtime = start_runtime("cpu")
    loader = SyntheticLoader(cfg.num_classes, cfg.num_image, BATCH, runtime.rank, runtime.ranks)
    trainer = Trainer(cfg, runtime, lambda _: loader)
    sleep_while_waiting()
    trainer.start_from(None, None)
    facts = {}
    for batch in loader.batches(0, STEPS):
        start = time.perf_counter()
        trainer.losses = trainer.train_step(batch)
        launched = time.perf_counter()
        runtime.exchange(np.zeros(2))
        facts["exchange"] = time.perf_counter() - launched
        with trainer.paused():
            facts["step"] = time.perf_counter() - start
            # Looked at before any parameter is read, for that would wait.
            busy = time.process_time()
            time.sleep(LISTEN)
            facts["busy_after"] = (time.process_time() - busy) / LISTEN
            before = [local_array(p).copy() for p in trainer.backbone.parameters()]
            time.sleep(LISTEN)
            after = [local_array(p) for p in trainer.backbone.parameters()]
            facts["parameters_changed_after"] = any((a != b).any() for a, b in zip(before, after, strict=True))
    (folder / f"{runtime.rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
