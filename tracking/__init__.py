"""The figures of a run on their way to those who look at them: a file, TensorBoard, its page, W&B, MLflow.

Nothing here is waited for by a training step, nothing reads from the device, and nothing that fails ends a run.
"""
