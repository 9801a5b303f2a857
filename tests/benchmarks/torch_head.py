"""The head of arcface_torch, Partial FC with ArcFace, by PyTorch on one thread: a Python that has torch runs it with

CLASSES SAMPLE_RATE [STEPS]

64 embeddings of 512 numbers, SGD with momentum; it prints CPU seconds of each step and the peak of memory. Ours:
python -m tools.benchmark speed_head --classes CLASSES --sample_rates SAMPLE_RATE --ranks 1 --batch_size 64
"""

import json
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, WIDTH, SCALE, MARGIN = 64, 512, 64.0, 0.5


class CrossEntropy(torch.autograd.Function):
    """In place, as theirs: the logits become probabilities, and those the gradient."""

    @staticmethod
    def forward(ctx, logits, labels):
        logits.sub_(logits.amax(1, keepdim=True)).exp_()
        logits.div_(logits.sum(1, keepdim=True))
        ctx.save_for_backward(logits, labels)
        return -logits.gather(1, labels[:, None]).clamp_min(1e-30).log().mean()

    @staticmethod
    def backward(ctx, gradient):
        logits, labels = ctx.saved_tensors
        logits -= torch.zeros_like(logits).scatter_(1, labels[:, None], 1)
        return logits.div_(len(logits)) * gradient.item(), None


class Centers:
    """All of them, or in each step the batch's own and others drawn to make up the rate."""

    def __init__(self, classes: int, rate: float) -> None:
        self.count, self.sampled = int(classes * rate), rate < 1
        self.weight = torch.normal(0, 0.01, (classes, WIDTH))
        self.momentum = torch.zeros(classes, WIDTH) if self.sampled else None
        self.trained = nn.Parameter(torch.empty(0) if self.sampled else self.weight)
        self.optimizer = torch.optim.SGD([self.trained], lr=0.1, momentum=0.9, weight_decay=5e-4)

    def draw(self, labels: torch.Tensor) -> torch.Tensor:
        """The labels' places among the drawn."""
        if not self.sampled:
            return labels
        chance = torch.rand(len(self.weight))
        chance[labels] = 2.0
        self.rows = torch.topk(chance, self.count)[1].sort()[0]
        self.optimizer.state.pop(self.trained, None)
        self.trained = nn.Parameter(self.weight[self.rows])
        self.optimizer.param_groups[0]["params"] = [self.trained]
        self.optimizer.state[self.trained]["momentum_buffer"] = self.momentum[self.rows]
        return torch.searchsorted(self.rows, labels)

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.sampled:
            with torch.no_grad():
                self.weight[self.rows] = self.trained
                self.momentum[self.rows] = self.optimizer.state[self.trained]["momentum_buffer"]


def main(classes: int, rate: float, steps: int = 4) -> None:
    torch.set_num_threads(1)
    centers, images, seconds = Centers(classes, rate), torch.arange(BATCH), []
    for _ in range(steps):
        embedding, labels = torch.randn(BATCH, WIDTH, requires_grad=True), torch.randint(classes, (BATCH,))
        start = time.process_time()
        places = centers.draw(labels)
        unit = functional.normalize(embedding), functional.normalize(centers.trained)
        cosines = functional.linear(*unit).clamp(-1, 1)
        with torch.no_grad():
            cosines[images, places] = torch.cos(torch.acos(cosines[images, places]) + MARGIN)
        CrossEntropy.apply(cosines * SCALE, places).backward()
        centers.update()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"classes": classes, "sample_rate": rate, "cpu_seconds": seconds, "peak_gib": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:]))
