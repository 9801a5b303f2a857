"""One rank of test_cpu_kernels: a compiled step of a small network, by its own convolutions and by the CPU's.

Prints the largest difference between the parameters after the step, relative to the largest change of each.
"""

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.cpu_kernels import use_cpu_kernels
from utils.runtime import local_array, start_runtime


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
            nn.Conv2d(8, 12, 3, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False),
            nn.Conv2d(12, 12, 3, padding=1, groups=4, bias=False),
            nn.Conv2d(12, 6, 1, bias=False),
        )

    def forward(self, images, dy):
        return (self.convs(images) * dy).sum()


class Step(nn.Graph):
    def __init__(self, net):
        super().__init__()
        self.net = net
        self.add_optimizer(flow.optim.SGD(net.parameters(), lr=1e-3))

    def build(self, images, dy):
        loss = self.net(images, dy)
        loss.backward()
        return loss


def main():
    runtime = start_runtime("cpu")
    rng = np.random.default_rng(runtime.rank)
    images = rng.normal(size=(3, 3, 10, 10)).astype(np.float32)
    dy = rng.normal(size=(3, 6, 10, 10)).astype(np.float32)
    flow.manual_seed(0)
    start = {name: tensor.numpy().copy() for name, tensor in Net().state_dict().items()}
    after = []
    for fast in (False, True):
        net = Net()
        net.load_state_dict({name: flow.tensor(value) for name, value in start.items()})
        net.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
        assert not fast or use_cpu_kernels(net) == 5
        Step(net)(runtime.split_batch(images), runtime.split_batch(dy)).to_local().numpy()
        after.append({name: local_array(parameter).copy() for name, parameter in net.named_parameters()})
    plain, fast = after
    worst = 0.0
    for name, value in plain.items():
        worst = max(worst, np.abs(fast[name] - value).max() / np.abs(value - start[name]).max())
    total = runtime.sum_over_ranks(np.array([worst], np.float32))
    if runtime.is_main:
        print(f"difference {float(total[0]):.3g}", flush=True)


if __name__ == "__main__":
    main()
