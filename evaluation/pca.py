"""Principal components of embeddings (Pearson, 1901)."""

import numpy as np

from utils.errors import UserError


def principal_axes(rows: np.ndarray, weights: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean (E,) of `rows` (N, E) and their first axes of largest variance, (E, components), orthonormal.

    weights: (N,) how often each row counts. By the covariance, as there are more images than dimensions.

    Raises UserError where that many components are not to be had.
    """
    most = min(rows.shape[1], int(weights.sum()))
    if not 1 <= components <= most:
        raise UserError(f"PCA to {components} components is not possible: the embeddings allow 1 to {most}")
    mean = weights @ rows / weights.sum()
    centered = rows - mean
    _, axes = np.linalg.eigh((centered * weights[:, None]).T @ centered)  # by rising variance
    return mean, axes[:, : -components - 1 : -1]
