"""Losses on embeddings in float64 NumPy, row by row from their papers; gradients are taken by difference."""

import numpy as np


def triplet(embedding, labels, alpha=0.35, mining="hard"):
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    cosines, same = unit @ unit.T, labels[:, None] == labels
    hard, positive, near = [], [], []
    for row, alike in zip(cosines, same, strict=True):
        farthest = row[alike].min()
        hard.append(max(0, max(row[~alike], default=-1) - farthest + alpha))
        positive += list(1 - row[alike])
        near += list(row[~alike & (farthest - row < alpha)])
    return np.mean(hard) if mining == "hard" else np.mean(positive) + np.sum(near) / (len(near) + 1)


def distillation(student, teacher):
    lengths = np.linalg.norm(student, axis=1) * np.linalg.norm(teacher, axis=1)
    return np.mean([1 - own @ wanted / length for own, wanted, length in zip(student, teacher, lengths, strict=True)])


FORMULAS = {"triplet": triplet, "distillation": distillation}


def with_gradient(name, embedding, labels, h=1e-6, **parameters):
    """The value, and its gradient by the embeddings (B, E). labels: or else a teacher's embeddings."""
    gradient = np.empty_like(embedding)
    for place in np.ndindex(embedding.shape):
        moved = [embedding.copy(), embedding.copy()]
        moved[0][place] += h
        moved[1][place] -= h
        above, below = (FORMULAS[name](values, labels, **parameters) for values in moved)
        gradient[place] = (above - below) / (2 * h)
    return FORMULAS[name](embedding, labels, **parameters), gradient
