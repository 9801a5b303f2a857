"""Where a run happens: the device, this process's rank, and the placement of global tensors."""

from dataclasses import dataclass

import numpy as np
import oneflow as flow

from utils.config.rules import NO_CARD
from utils.errors import UserError


@dataclass(frozen=True)
class Runtime:
    """device: "cuda" or "cpu"; rank of ranks; placement: all ranks' devices; native: whether the kernels of `native/`
    are loaded, which compiled steps on a CPU then use.
    """

    device: str
    rank: int
    ranks: int
    placement: flow.placement
    native: bool = False

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def split_batch(self, array: np.ndarray) -> flow.Tensor:
        """This rank's rows (B / ranks, ...) as its share of a global tensor (B, ...) S(0).

        The tensor shares the array's memory until a step has read it, so nobody may write into the array again.
        """
        # Without check_meta, by which the ranks would exchange shapes in every call. Not in pinned memory: nothing of
        # the host waits for the copy to the card, which a thread of OneFlow's does beside the step under way, and
        # pin_memory() would be one more copy of the batch on the host.
        return _shared(array).to_global(placement=self.placement, sbp=flow.sbp.split(0), check_meta=False)

    def sum_over_ranks(self, array: np.ndarray) -> np.ndarray:
        """The elementwise sum of every rank's `array`, the same bits on each rank. A collective.

        Waits for compiled steps under way, as `gather_rows` does: OneFlow keeps the two in one order.
        """
        summed = self._on_hosts(array, flow.sbp.partial_sum)
        return summed.to_global(sbp=flow.sbp.broadcast).to_local().numpy()

    def gather_rows(self, rows: np.ndarray, counts: list[int]) -> np.ndarray:
        """Every rank's rows, (counts[rank], E) each, one below the other on each rank. A collective."""
        padded = np.zeros((max(counts), *rows.shape[1:]), rows.dtype)
        padded[: len(rows)] = rows
        all_rows = self._on_hosts(padded, flow.sbp.split(0)).to_global(sbp=flow.sbp.broadcast).to_local().numpy()
        return np.concatenate([part[:n] for part, n in zip(np.split(all_rows, self.ranks), counts, strict=True)])

    def exchange(self, numbers: np.ndarray) -> np.ndarray:
        """Every rank's `numbers`, an array of one shape and type, stacked by rank. A collective.

        Unlike `sum_over_ranks` it waits for no step under way; meant for a few kilobytes.
        """
        parts = [
            flow._oneflow_internal.cpu_broadcast(numbers.tobytes() if rank == self.rank else None, rank)
            for rank in range(self.ranks)
        ]
        return np.stack([np.frombuffer(part, numbers.dtype).reshape(numbers.shape) for part in parts])

    def wait_for_all(self) -> None:
        """Returns when every rank has called it."""
        self.exchange(np.zeros(1))

    def _on_hosts(self, array: np.ndarray, sbp: flow.sbp.sbp) -> flow.Tensor:
        """This rank's share of a global tensor in the memory of all ranks' hosts.

        Over cards an eager NCCL call could stand beside those of a compiled step, in another order on another rank,
        and then all wait for ever.
        """
        hosts = flow.env.all_device_placement("cpu")
        return _shared(array).to_global(placement=hosts, sbp=sbp, check_meta=False)


def _shared(array: np.ndarray) -> flow.Tensor:
    """A local tensor in the array's memory, if that is in one piece."""
    return flow.from_numpy(array if array.flags.c_contiguous else array.copy())


def start_runtime(device: str = "auto", usable_cards: bool = True) -> Runtime:
    """The runtime of this process, as the launcher set it up (one process without a launcher).

    device: "cuda", "cpu", or "auto": CUDA where there is a card this OneFlow has kernels for (`usable_cards`, see
    `launch.gpu`). Raises UserError where CUDA is asked for and cannot be had.
    """
    has_cuda = usable_cards and flow.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UserError(NO_CARD)
    if device == "auto":
        device = "cuda" if has_cuda else "cpu"
    if device == "cuda":
        local_rank, cards = flow.env.get_local_rank(), flow.cuda.device_count()
        if local_rank >= cards:
            raise UserError(f"there are more ranks than cards on this node ({cards}); lower NPROC, or use device=cpu")
        flow.cuda.set_device(local_rank)
    ranks, rank = flow.env.get_world_size(), flow.env.get_rank()
    return Runtime(device, rank, ranks, flow.env.all_device_placement(device))


def local_array(tensor: flow.Tensor) -> np.ndarray:
    """This rank's share of a tensor (all of it where it is local or broadcast) on the host."""
    return (tensor.to_local() if tensor.is_global else tensor).numpy()


def write_local(tensor: flow.Tensor, values: np.ndarray) -> None:
    """Overwrites this rank's share of a tensor (all of it where it is local or broadcast) in place.

    The copy may happen later, so `values` must stay as they are.
    """
    # from_numpy shares the memory; flow.tensor makes a copy, slowly.
    source = flow.from_numpy(values) if values.ndim and values.flags.c_contiguous else flow.tensor(values)
    (tensor.to_local() if tensor.is_global else tensor).copy_(source)
