"""The jobs that a worker writes for the tests of a file, all of a number of ranks when the first of them is read."""

import functools
from collections.abc import Callable, Mapping

from oneflow.core.job.job_pb2 import Job

from tests.layout.cases import LayoutCase
from tests.ranks import run_ranks

_SECONDS = 280  # for all cases of a number of ranks; a compiler that hangs is killed then


def written_jobs(
    tmp_path_factory, worker: str, cases: Mapping[str, LayoutCase], environment: Mapping[str, str] | None = None
) -> Callable[[str], Job]:
    """name of a case -> its job. worker: a program that writes NAME.job to the folder it is given for each case of
    its number of ranks; environment: what it runs with besides the usual."""

    @functools.cache
    def write(ranks: int):
        folder = tmp_path_factory.mktemp("jobs")
        run_ranks(ranks, worker, str(folder), timeout=_SECONDS, environment=environment)
        return folder

    @functools.cache
    def read(name: str) -> Job:
        job = Job()
        job.ParseFromString((write(cases[name].ranks) / f"{name}.job").read_bytes())
        return job

    return read
