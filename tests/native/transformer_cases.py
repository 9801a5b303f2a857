"""What transformers compute, as functions of tensors: with the kernels of `native/` in float32, with OneFlow's own in
float64.
"""

import oneflow as flow


def _layer_norm(x, gamma, beta):
    if x.dtype == flow.float32:
        last = {"begin_norm_axis": x.ndim - 1, "begin_params_axis": x.ndim - 1}
        return flow._C.layer_norm_affine(x, gamma, beta, **last, epsilon=1e-5)
    centered = x - x.mean(dim=-1, keepdim=True)  # OneFlow's own is a stub
    return centered * flow.rsqrt((centered * centered).mean(dim=-1, keepdim=True) + 1e-5) * gamma + beta


def _matmul(transpose_a=False, transpose_b=False, alpha=1.0):
    def product(a, b):
        return flow._C.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b, alpha=alpha)

    return product


def _bias_add(a, b):
    return flow._C.bias_add(a, b, axis=1)


def _permute(*order):
    return lambda x: x.permute(*order) * 1.0


def _sum(dim, keepdim=False):
    return lambda x: x.sum(dim=dim, keepdim=keepdim)


def _where_equal(x, y):
    return x * y * flow.eq(x.to(flow.int32), y.to(flow.int32)).to(x.dtype)


def _softmax(x):
    return flow.softmax(x * 4.0, dim=-1)


def _masked_softmax(x):
    return flow.softmax(flow.masked_fill(x, x < -0.5, float("-inf")), dim=-1)


CASES = {  # name: (function, shapes of its inputs)
    "layer_norm": (_layer_norm, [(3, 5, 256), (256,), (256,)]),
    "layer_norm, odd": (_layer_norm, [(7, 33), (33,), (33,)]),
    "layer_norm, one row": (_layer_norm, [(1, 1, 100), (100,), (100,)]),
    "layer_norm, on several threads": (_layer_norm, [(40, 30, 64), (64,), (64,)]),
    "softmax": (_softmax, [(2, 3, 5, 7)]),
    "softmax of one": (_softmax, [(4, 1)]),
    "softmax, on several threads": (_softmax, [(8, 8, 48, 48)]),
    "softmax, masked": (_masked_softmax, [(9, 50)]),
    "exp": (lambda x: flow.exp(x * 20.0), [(5, 7, 40)]),
    "exp, on several threads": (flow.exp, [(300, 200)]),
    "gelu": (lambda x: flow.gelu(x * 3.0), [(5, 7, 40)]),
    "matmul": (_matmul(), [(5, 7), (7, 3)]),
    "matmul, a transposed": (_matmul(True), [(7, 5), (7, 3)]),
    "matmul, b transposed": (_matmul(False, True), [(5, 7), (3, 7)]),
    "matmul, both, scaled": (_matmul(True, True, 0.3), [(7, 5), (3, 7)]),
    "matmul of a batch": (_matmul(False, True, 0.3), [(2, 3, 5, 8), (2, 3, 6, 8)]),
    "matmul of a batch, a transposed": (_matmul(True), [(2, 3, 8, 5), (2, 3, 8, 6)]),
    "matmul of a batch with one": (_matmul(False, True), [(2, 3, 17), (9, 17)]),
    "matmul of a batch of one row": (_matmul(False, True), [(1, 1, 17), (9, 17)]),
    "permute heads": (_permute(0, 2, 1, 3), [(2, 5, 3, 8)]),
    "permute rows": (_permute(0, 2, 1), [(2, 33, 70)]),
    "permute all": (_permute(3, 1, 0, 2), [(2, 3, 4, 5)]),
    "add a vector": (flow.add, [(3, 5, 40), (40,)]),
    "add to a vector": (flow.add, [(40,), (3, 5, 40)]),
    "add positions": (flow.add, [(3, 5, 8), (1, 5, 8)]),
    "subtract a column": (flow.sub, [(3, 5, 8), (3, 5, 1)]),
    "subtract from a row": (flow.sub, [(1, 8), (5, 8)]),
    "multiply crosswise": (flow.mul, [(3, 1, 8), (1, 5, 1)]),
    "multiply by one number": (flow.mul, [(3, 5, 8), (1,)]),
    "multiply channels": (flow.mul, [(2, 6, 5, 5), (2, 6, 1, 1)]),
    "multiply, on several threads": (flow.mul, [(40, 30, 64), (64,)]),
    "add a long row": (flow.add, [(1, 40000), (1,)]),
    "equal to a column": (_where_equal, [(5, 40), (5, 1)]),
    "equal, a column to a row": (_where_equal, [(5, 1), (1, 40)]),
    "equal, a row to a column": (_where_equal, [(1, 40), (5, 1)]),
    "equal, on several threads": (_where_equal, [(40, 1000), (40, 1)]),
    "bias": (_bias_add, [(2, 6, 5, 4), (6,)]),
    "bias of rows": (_bias_add, [(9, 6), (6,)]),
    "sum of all": (lambda x: x.sum(), [(3, 700)]),
    "sum of rows": (_sum(0), [(70, 33)]),
    "sum of columns": (_sum(-1, True), [(3, 4, 1100)]),
    "sum of outer axes": (_sum((0, 2)), [(3, 4, 5)]),
    "sum of a middle axis": (_sum(1), [(3, 4, 5)]),
    "sum, on several threads": (_sum((0, 1)), [(40, 30, 64)]),
}
EMPTY = {  # shapes without a number, and the shape of what becomes of them
    "softmax": (_softmax, [(0, 5)], (0, 5)),
    "layer_norm": (_layer_norm, [(0, 5), (5,), (5,)], (0, 5)),
    "exp": (flow.exp, [(0, 5)], (0, 5)),
    "gelu": (flow.gelu, [(0, 5)], (0, 5)),
    "add": (flow.add, [(0, 5), (5,)], (0, 5)),
    "sum": (_sum(0), [(0, 5)], (5,)),
    "permute": (_permute(1, 0), [(0, 5)], (5, 0)),
}
