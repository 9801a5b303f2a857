"""Spark in the place of worker processes: the same bytes, and tasks that fail, are killed or are given up."""

import os
import shutil
import signal
import sys
import time
from functools import partial

import pytest

from preparation.convert.spark import spark_context, spark_pool
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.ofrecord_sets import contents
from tests.preparation.sources.people import as_folder, as_recordio, as_shards
from utils.errors import UserError

pytest.importorskip("pyspark", reason="./setup.sh spark installs PySpark")
if not shutil.which("java"):
    pytest.skip("Spark needs Java 17", allow_module_level=True)


@pytest.fixture(scope="module")
def context():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        with spark_context("local[2,3]", {"spark.ui.enabled": "false"}) as context:
            yield context


@pytest.fixture
def pool(context):
    with spark_pool(context, 2) as pool:
        yield pool


@pytest.mark.parametrize(
    ("make", "format"), [(as_recordio, "recordio"), (as_folder, "folder"), (as_shards, "webdataset")]
)
def test_gives_the_bytes_that_one_machine_gives(context, tmp_path, make, format):
    source = make(tmp_path / "faces")
    convert(Settings(source, tmp_path / "alone", num_part=3, seed=7, format=format))
    settings = Settings(source, tmp_path / "spark", num_part=3, seed=7, format=format, workers=2)
    convert(settings, partial(spark_pool, context))
    assert contents(tmp_path / "spark") == contents(tmp_path / "alone")


def test_results_come_in_order_and_large_ones_too(pool):
    def stretch(number, length):
        return bytes([number]) * length

    lengths = [0, 1, 3_000_000, 5]
    assert list(pool.map(stretch, range(4), lengths)) == [bytes([n]) * length for n, length in enumerate(lengths)]


def test_a_users_error_is_told_at_the_first_try(pool, tmp_path):
    def refuse(path):
        with open(path, "a") as file:
            file.write("tried ")
        raise UserError("The record 7 is damaged.")

    with pytest.raises(UserError, match=r"^The record 7 is damaged\.$"):
        pool.submit(refuse, tmp_path / "tries").result()
    assert (tmp_path / "tries").read_text() == "tried "


def test_a_task_whose_process_is_killed_is_done_again(pool, tmp_path):
    def die_once(path):
        if not os.path.exists(path):
            with open(path, "w"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    assert pool.submit(die_once, tmp_path / "killed").result() == "done"
    assert (tmp_path / "killed").exists()


def test_a_task_that_fails_at_every_try_is_given_up_in_a_sentence(pool, tmp_path):
    def fail(path):
        with open(path, "a") as file:
            file.write("tried ")
        raise OSError(28, "No space left on device")

    expected = r"^Spark gave up: OSError: \[Errno 28\] No space left on device; the same command goes on"
    with pytest.raises(UserError, match=expected):
        pool.submit(fail, tmp_path / "tries").result()
    assert (tmp_path / "tries").read_text() == "tried " * 3


def test_ctrl_c_cancels_the_tasks(context, tmp_path):
    def work(path):
        for _ in range(100):
            with open(path, "a") as file:
                file.write(".")
            time.sleep(0.1)

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), spark_pool(context, 2) as pool:
        for number in range(6):
            pool.submit(work, tmp_path / str(number))
        while not list(tmp_path.iterdir()):
            time.sleep(0.02)
        raise KeyboardInterrupt
    assert time.monotonic() - begin < 9  # a task alone takes ten seconds
    assert len(list(tmp_path.iterdir())) <= 2
