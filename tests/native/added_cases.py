"""BatchNorm, an addition and ReLU in one operator of OneFlow's."""

import oneflow as flow


def _add_relu(x, addend, gamma, beta):
    return flow._C.normalization_add_relu(
        x, addend, None, None, gamma, beta, axis=1, epsilon=1e-5, momentum=0.1, is_training=True
    )


def _relu(x, gamma, beta):
    return _add_relu(x, None, gamma, beta)


CASES = {
    "images": (_add_relu, [(3, 5, 6, 7), (3, 5, 6, 7), (5,), (5,)]),
    "rows": (_add_relu, [(6, 9), (6, 9), (9,), (9,)]),
    "without an addend": (_relu, [(3, 5, 6, 7), (5,), (5,)]),
    "on several threads": (_add_relu, [(4, 8, 32, 32), (4, 8, 32, 32), (8,), (8,)]),
}
EMPTY = {}
