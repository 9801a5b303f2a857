"""Operators of r18, mbf and vit_t as they stand in a training step, for bench_cpu_ops: written in what PyTorch and
OneFlow have in common, so that both sides compute the same.
"""

import time


def _conv(channels, filters, kernel, stride, groups=1):
    return lambda nn: nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False)


# By name: what makes the module, and the shape of what it takes.
CASES = {
    "conv 3x3, 64 to 64": (_conv(64, 64, 3, 1), (8, 64, 56, 56)),
    "conv 3x3, 64 to 128, stride 2": (_conv(64, 128, 3, 2), (8, 64, 56, 56)),
    "conv 3x3, 512 to 512": (_conv(512, 512, 3, 1), (8, 512, 7, 7)),
    "conv 1x1, 64 to 128": (_conv(64, 128, 1, 1), (8, 64, 56, 56)),
    "conv depthwise 3x3, 128": (_conv(128, 128, 3, 1, 128), (8, 128, 56, 56)),
    "conv 9x9, stride 9, of images": (_conv(3, 256, 9, 9), (8, 3, 108, 108)),
    "BatchNorm, 64": (lambda nn: nn.BatchNorm2d(64), (8, 64, 56, 56)),
    "PReLU, 64": (lambda nn: nn.PReLU(64), (8, 64, 56, 56)),
    "ReLU": (lambda nn: nn.ReLU(), (8, 64, 56, 56)),
    "MaxPool 3x3, stride 2": (lambda nn: nn.MaxPool2d(3, 2, 1), (8, 64, 56, 56)),
    "Linear, 25088 to 512": (lambda nn: nn.Linear(25088, 512), (8, 25088)),
    "Linear, 256 to 1024": (lambda nn: nn.Linear(256, 1024), (8 * 144, 256)),
    "LayerNorm, 256": (lambda nn: nn.LayerNorm(256), (8, 144, 256)),
    "GELU": (lambda nn: nn.GELU(), (8, 144, 1024)),
    "softmax over 144": (lambda nn: nn.Softmax(-1), (8, 8, 144, 144)),
}


def step_seconds(library, module, images, gradient, repeats: int) -> float:
    """Seconds of one pass forward and back, the mean of `repeats` that follow each other.

    library: torch or oneflow. images and gradient: its tensors, of `module`'s input and output.
    """

    def once() -> None:
        images.grad = None
        for weight in module.parameters():
            weight.grad = None
        module(images).backward(gradient)

    for _ in range(3):
        once()
    images.grad.numpy()  # OneFlow works behind the caller's back: reading waits for it
    begin = time.perf_counter()
    for _ in range(repeats):
        once()
    images.grad.numpy()
    return (time.perf_counter() - begin) / repeats


def measure_all(library, names: list[str], repeats: int, prepare=lambda tensor: tensor) -> dict[str, float]:
    """Seconds by name. prepare: gives an input the layout that it is to have."""
    seconds = {}
    for name in names:
        make, shape = CASES[name]
        module = make(library.nn).train()
        with library.no_grad():
            gradient = prepare(library.ones_like(module(prepare(library.randn(*shape)))))
        images = prepare(library.randn(*shape)).requires_grad_()
        seconds[name] = step_seconds(library, module, images, gradient, repeats)
    return seconds
