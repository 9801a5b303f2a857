"""A run in MLflow. Without `mlflow_tracking_uri` it is kept in `output/mlflow.db`, for `mlflow ui`."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracking.run_ids import keep_id, known_id
from tracking.writer import Writer
from utils.files import show_name

_MOST = 100  # parameters in one call
_LONGEST = 500  # characters of a parameter that every server takes
_DATABASE, _ARTIFACTS = "mlflow.db", "mlflow_artifacts"
_STATES = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowRun(Writer):
    """cfg: of the run; step: where it begins.

    A resumed run goes on with MLflow's run of before. If that has figures of later steps, which MLflow cannot forget,
    it is a new one there, with the tag `resumed_from`.
    """

    name = "MLflow"

    def __init__(self, output: Path, step: int, cfg: Mapping[str, Any], logger: logging.Logger) -> None:
        self._output, self._step, self._cfg, self._logger = output, step, cfg, logger
        self._old_id = known_id(output, "mlflow") if step else None

    def open(self) -> None:
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):  # they tell of every table of a new database
            logging.getLogger(noisy).setLevel(logging.WARNING)
        place, artifacts = self._cfg["mlflow_tracking_uri"], None
        if place is None:
            place = f"sqlite:///{self._output.resolve() / _DATABASE}"
            artifacts = (self._output / _ARTIFACTS).resolve().as_uri()
        self._client = MlflowClient(tracking_uri=place)
        old = self._old_id
        self._goes_on = bool(old and not self._is_ahead(old))
        if old and self._goes_on:
            self._client.update_run(old, status="RUNNING")
            self._id = old
        else:
            experiment = self._cfg["mlflow_experiment"]
            known = self._client.get_experiment_by_name(experiment)
            number = (
                known.experiment_id
                if known
                else self._client.create_experiment(experiment, artifact_location=artifacts)
            )
            name, tags = show_name(self._output.resolve()), {"resumed_from": old} if old else None
            self._id = self._client.create_run(number, run_name=name, tags=tags).info.run_id
        keep_id(self._output, "mlflow", self._id)
        shown = f"run {self._id} at {place}" if artifacts is None else f"mlflow ui --backend-store-uri {place}"
        self._logger.info(f"MLflow: {shown}")

    def _is_ahead(self, run_id: str) -> bool:
        """Whether a run has figures of steps after that where this one begins."""
        names = self._client.get_run(run_id).data.metrics
        histories = (self._client.get_metric_history(run_id, name) for name in names)
        return any(each.step > self._step for history in histories for each in history)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def describe(self, facts: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        settings = facts.get("config", ())
        if self._goes_on:
            return  # parameters of a run are written once
        params = [Param(key, value[:_LONGEST]) for key, value, _ in settings]
        for first in range(0, len(params), _MOST):
            self._client.log_batch(self._id, params=params[first : first + _MOST])

    def close(self, state: str, reason: str, model: Path | None) -> None:
        if model and self._cfg["save_artifacts"]:
            self._client.log_artifacts(self._id, str(model), "backbone")
        self._client.set_terminated(self._id, _STATES[state])
