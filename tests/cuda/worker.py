"""One rank of tests/cuda: compiles the steps of all cases for CUDA and writes their jobs to FOLDER.

It runs with cards.cpp's library loaded first, so OneFlow takes the CPU's memory for a card's and no kernel can run on
it. Nothing of a step runs while it is compiled, but its parameters and inputs have to be made: here all of them are
left empty.
"""

import functools
import sys
from pathlib import Path

import oneflow as flow
from oneflow._oneflow_internal import lazy_mode

from tests.layout.cases import CUDA_CASES, IN, on_ranks
from tests.layout.step import build_step, step_inputs
from utils.runtime import Runtime


def leave_empty() -> None:
    """From now on tensors on a card that are made outside of a graph are left as they are, of the same shape."""
    to_global, constant, arange = flow.Tensor.to_global, flow._C.global_constant, flow._C.global_arange

    def empty(shape, dtype, placement, sbp):
        layout = tuple(sbp) if isinstance(sbp, (tuple, list)) else (sbp,)
        return flow._C.global_empty(flow.Size(shape), dtype=dtype, placement=placement, sbp=layout)

    def runs(placement) -> bool:
        return lazy_mode.is_enabled() or placement is None or placement.type != "cuda"

    def empty_to_global(self, placement=None, sbp=None, **others):
        if runs(placement) or self.is_global:
            return to_global(self, placement=placement, sbp=sbp, **others)
        shape = list(self.shape)
        if sbp == flow.sbp.split(0):  # the ranks' rows are one below the other
            shape[0] = _over_ranks(shape[0])
        made = empty(shape, self.dtype, placement, sbp)
        made.requires_grad = self.requires_grad
        return made

    def empty_constant(shape, value, *, dtype, placement, sbp):
        if runs(placement):
            return constant(shape, value, dtype=dtype, placement=placement, sbp=sbp)
        return empty(shape, dtype, placement, sbp)

    def empty_arange(start, end, step, *, dtype, placement, sbp):
        if runs(placement):
            return arange(start, end, step, dtype=dtype, placement=placement, sbp=sbp)
        return empty([-(-(end - start) // step)], dtype or flow.int64, placement, sbp)

    def _over_ranks(rows: int) -> int:
        own = to_global(flow.tensor([rows]), placement=flow.env.all_device_placement("cpu"), sbp=flow.sbp.partial_sum)
        return int(to_global(own, sbp=flow.sbp.broadcast).to_local().numpy()[0])

    flow.Tensor.to_global = empty_to_global
    flow._C.global_constant, flow._C.global_arange = empty_constant, empty_arange


if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    ranks, rank = flow.env.get_world_size(), flow.env.get_rank()
    placement = flow.placement("cuda", ranks=list(range(ranks)))
    runtime = Runtime("cuda", rank, ranks, placement)
    leave_empty()
    # OneFlow knows a tensor that has been in a graph by its address: until the end none may take another's place.
    kept = []
    for name, case in on_ranks(CUDA_CASES, ranks).items():
        graph = build_step(case, runtime)
        images = flow.empty(case.batch, IN, placement=placement, sbp=flow.sbp.split(0))
        labels = flow.empty(case.batch, dtype=flow.int64, placement=placement, sbp=flow.sbp.split(0))
        state = {
            name: flow.empty(case.gradient_acc, placement=placement, sbp=flow.sbp.broadcast)
            for name in case.margin().state
        }
        empty = functools.partial(flow.empty, placement=placement, sbp=flow.sbp.split(0))
        inputs = step_inputs(case, case.batch, labels, empty)
        graph.build_graph(images, labels, state, inputs)
        kept.append((graph, images, labels, state, inputs))
        if rank == 0:
            Path(folder, f"{name}.job").write_bytes(graph._full_graph_proto.SerializeToString())
