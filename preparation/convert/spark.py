"""A Spark cluster in the place of the processes of one machine (`preparation.workers`).

What is shuffled are the images' places in the source, on the driver, as on one machine; tasks then read the images of
their part wherever they lie, and write it. Only judgments and places go through Spark, never an image.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from utils.errors import UserError
from utils.reading.limits import Limits, limits, use_limits

if TYPE_CHECKING:
    from pyspark import SparkContext

_Arguments = ParamSpec("_Arguments")
_T = TypeVar("_T")
_DEFAULT_MASTER = "local[*,4]"  # all cores, and four tries for each task, as on a cluster
_PACKAGES = ("preparation", "data", "utils")  # what tasks import
_QUIET = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}


@contextmanager
def spark_context(master: str | None, settings: Mapping[str, str]) -> Iterator[SparkContext]:
    """A running Spark application whose tasks can import this project; it ends with the context.

    Args:
        master: such as `local[2]`, `yarn` or `spark://host:7077`; None: what spark-submit says, or all cores here.
        settings: Spark's own, such as `spark.executor.memory`.

    Raises:
        UserError: PySpark is not installed, or Spark does not start.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark import SparkConf, SparkContext
        from pyspark.errors import PySparkException
    except ImportError as error:
        raise UserError(f"PySpark cannot be imported ({error}): ./setup.sh spark installs it.") from None
    try:
        conf = SparkConf().setAppName("recordio to OFRecord")
        for name, value in (_QUIET | dict(settings)).items():
            conf.set(name, value)
        if master or not conf.contains("spark.master"):
            conf.setMaster(master or _DEFAULT_MASTER)
        context = SparkContext(conf=conf)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Spark's own fails where Spark has ended
    except (Py4JError, PySparkException, OSError) as error:
        raise UserError(f"Spark does not start: {_reason(error)}.") from None
    try:
        with tempfile.TemporaryDirectory(prefix="faces-") as folder:
            context.addPyFile(str(_zip_packages(Path(folder) / "faces.zip")))
            yield context
    finally:
        with suppress(Py4JError, ConnectionError):  # it may have ended
            context.stop()


@contextmanager
def spark_pool(context: SparkContext, workers: int) -> Iterator[Executor]:
    """`workers` tasks at once, on whatever machines Spark has. When the body raises they are canceled.

    A task that fails, or whose machine goes away, is tried again elsewhere, as often as `spark.task.maxFailures` says;
    one that raises UserError is not.

    Raises:
        UserError: a task failed at every try, or Spark has ended.
    """
    with ThreadPoolExecutor(workers) as threads:
        executor = _SparkExecutor(context, threads)
        try:
            yield executor
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            executor.cancel()
            raise


class _SparkExecutor(Executor):
    """Runs each call as a Spark job of one task, which a thread here waits for."""

    def __init__(self, context: SparkContext, threads: ThreadPoolExecutor) -> None:
        self._context, self._threads = context, threads
        self._futures: list[Future] = []
        self._task = context.parallelize([None], 1)

    def submit(
        self, call: Callable[_Arguments, _T], /, *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> Future[_T]:
        future = self._threads.submit(self._run, partial(call, *arguments, **named))
        self._futures.append(future)
        return future

    def cancel(self) -> None:
        """End the tasks that run, those too that were about to be sent to Spark."""
        from py4j.protocol import Py4JError

        while not all(future.done() for future in self._futures):
            with suppress(Py4JError, ConnectionError):  # Spark has ended, and its tasks with it
                self._context.cancelAllJobs()
            time.sleep(0.1)

    def _run(self, call: Callable[[], _T]) -> _T:
        from py4j.protocol import Py4JError

        try:
            [answer] = self._task.map(partial(_call, limits(), call)).collect()
        except (Py4JError, ConnectionError) as failure:
            raise UserError(
                f"Spark gave up: {_reason(failure)}; the same command goes on with the parts that are written."
            ) from None
        if isinstance(answer, UserError):
            raise answer
        return answer


def _call(in_force: Limits, call: Callable[[], _T], _: None) -> _T | UserError:
    """Runs in a Spark task. A user's error is returned: another try would end alike."""
    use_limits(in_force)
    try:
        return call()
    except UserError as error:
        return error


def _reason(error: Exception) -> str:
    """What Spark says, in a line: the last of a task's Python traceback where there is one."""
    text = str(getattr(error, "java_exception", None) or error)
    if "An error occurred while calling" in text and not hasattr(error, "java_exception"):
        return "its Java has ended, perhaps for lack of memory"
    if "JAVA_GATEWAY_EXITED" in text:
        return "its Java ended at once, for the reason that it has printed above"
    traceback, java, _ = text.partition("\n\n\tat ")
    lines = [line.strip() for line in (traceback if java and "Traceback" in text else text).splitlines()]
    lines = [line for line in lines if line and not line.startswith("at ")]
    return (lines[-1 if "Traceback" in text else 0] if lines else type(error).__name__).rstrip(".")


def _zip_packages(path: Path) -> Path:
    """Write what tasks import into a zip file that Spark hands to them."""
    root = Path(__file__).resolve().parents[2]
    with zipfile.ZipFile(path, "w") as archive:
        for package in _PACKAGES:
            for file in sorted((root / package).rglob("*.py")):
                archive.write(file, file.relative_to(root))
    return path
