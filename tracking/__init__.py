"""The figures of a run on their way to those who look at them: a file, TensorBoard, its page, W&B, MLflow.

A training step writes its line of `history.jsonl` and waits for no other writer; nothing reads from the device, and
nothing that fails ends a run.
"""
