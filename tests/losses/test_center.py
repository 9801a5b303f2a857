"""The center loss against its formula: half the squared distance to the mean of the class, and its gradient."""

import numpy as np
import oneflow as flow

from losses.center import CenterLoss
from losses.on_embeddings import Batch


def test_value_and_gradient_are_the_formula():
    rng = np.random.default_rng(0)
    embedding, means = rng.normal(size=(5, 8)), rng.normal(size=(5, 8))
    given = flow.tensor(embedding, dtype=flow.float64, requires_grad=True)
    numbers = flow.arange(5, dtype=flow.int64)
    loss = CenterLoss()(Batch({"embedding": given}, numbers, numbers, means=flow.tensor(means, dtype=flow.float64)))
    loss.backward()
    np.testing.assert_allclose(loss.numpy(), 0.5 * ((embedding - means) ** 2).sum(axis=1).mean(), rtol=1e-12)
    np.testing.assert_allclose(given.grad.numpy(), (embedding - means) / 5, rtol=1e-12)
