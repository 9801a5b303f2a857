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


class Center:
    """Center loss of a run: called with the embeddings and labels of each micro-batch; `end_step` moves the means."""

    def __init__(self, classes, size, alpha=0.5):
        self.means, self._alpha, self._seen = np.zeros((classes, size)), alpha, []

    def __call__(self, embedding, labels):
        self._seen += list(zip(labels, embedding, strict=True))
        apart = embedding - self.means[labels]
        return (apart**2).sum(axis=1).mean() / 2, apart / len(labels)

    def end_step(self):
        before = self.means.copy()
        for label in {label for label, _ in self._seen}:
            own = [row for other, row in self._seen if other == label]
            self.means[label] -= self._alpha * sum(before[label] - row for row in own) / (1 + len(own))
        self._seen = []


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
