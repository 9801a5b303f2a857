"""Trainings of several ranks that the tests of a file look at together."""

import functools

import numpy as np

from tests.ranks import run_ranks


def training(tmp_path_factory, worker, cases_on):
    """(mode, ranks) -> what each rank found in `cases_on(ranks)`; trained by `worker` when first asked for."""

    @functools.cache
    def train(mode, ranks):
        out = tmp_path_factory.mktemp(mode) / "found"
        run_ranks(ranks, worker, mode, str(out), *cases_on(ranks))
        return [np.load(f"{out}-{rank}.npz") for rank in range(ranks)]

    return train
