"""A trainer in plain float64 NumPy, written from the papers: what the compiled step is held against.

The network is linear -> [BatchNorm] -> linear, so that every gradient can be written down; the head is that of the
SphereFace, CosFace and ArcFace papers; the update is Polyak's momentum with L2 weight decay.
"""

import numpy as np

BN_EPS, BN_MOMENTUM = 1e-5, 0.1


def combined(cos, m1=1.0, m2=0.5, m3=0.0, gradient="exact"):
    """Value and derivative by cos of cos(m1 t + m2) - m3, continued monotonically past pi; or arcface_torch's: no
    continuation, m3 alone if there is one, and a gradient that is passed on."""
    if gradient == "straight_through":
        value = cos - m3 if m3 > 0 else np.cos(m1 * np.arccos(cos) + m2)
        return value, np.ones_like(cos)
    theta = np.arccos(cos)
    phi = m1 * theta + m2
    k = np.floor(phi / np.pi)
    value = (-1) ** k * np.cos(phi) - 2 * k - m3
    slope = (-1) ** k * np.sin(phi) * m1 / np.sin(theta)
    return value, slope


MARGINS = {
    "combined": combined,
    "arcface": lambda cos, m=0.5, **more: combined(cos, 1.0, m, 0.0, **more),
    "cosface": lambda cos, m=0.4, **more: combined(cos, 1.0, 0.0, m, **more),
    "sphereface": lambda cos, m=1.35, **more: combined(cos, m, 0.0, 0.0, **more),
}


def head_loss(embedding, centers, labels, loss="arcface", parameters=(), filtering=0.0):
    """Mean loss, and its gradients by embedding (B, E) and centers (C, E)."""
    parameters = dict(parameters)
    scale = parameters.pop("s", 64.0)
    rows = np.arange(len(labels))
    e_norm = np.linalg.norm(embedding, axis=1, keepdims=True)
    c_norm = np.linalg.norm(centers, axis=1, keepdims=True)
    e, c = embedding / e_norm, centers / c_norm
    cos = e @ c.T
    value, slope = MARGINS[loss](cos[rows, labels], **parameters)
    logits = cos.copy()
    passes = np.ones_like(cos)
    if filtering:
        passes[cos > filtering] = 0
        logits *= passes
    logits[rows, labels] = value
    passes[rows, labels] = slope
    logits *= scale
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_prob = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_prob[rows, labels].mean()
    d_logits = np.exp(log_prob)
    d_logits[rows, labels] -= 1
    d_cos = d_logits / len(labels) * scale * passes
    d_e, d_c = d_cos @ c, d_cos.T @ e
    d_embedding = (d_e - e * (d_e * e).sum(axis=1, keepdims=True)) / e_norm
    d_centers = (d_c - c * (d_c * c).sum(axis=1, keepdims=True)) / c_norm
    return loss, d_embedding, d_centers


class Network:
    """Parameters by the names OneFlow gives them; BatchNorm sees each rank's rows on their own."""

    def __init__(self, parameters, ranks, batch_norm):
        self.p = {name: array.astype(np.float64) for name, array in parameters.items()}
        self.ranks, self.batch_norm = ranks, batch_norm
        width = len(self.p["backbone.0.bias"])
        self.mean, self.var = np.zeros((ranks, width)), np.ones((ranks, width))

    def forward(self, x):
        self.x = x
        hidden = x @ self.p["backbone.0.weight"].T + self.p["backbone.0.bias"]
        if self.batch_norm:
            self.normed, self.std = np.empty_like(hidden), []
            for r, h in enumerate(np.split(hidden, self.ranks)):
                mean, var = h.mean(axis=0), h.var(axis=0)
                n = len(h)
                self.std.append(np.sqrt(var + BN_EPS))
                self.normed[r * n : (r + 1) * n] = (h - mean) / self.std[r]
                self.mean[r] += BN_MOMENTUM * (mean - self.mean[r])
                self.var[r] += BN_MOMENTUM * (var * n / (n - 1) - self.var[r])
            hidden = self.normed * self.p["backbone.1.weight"] + self.p["backbone.1.bias"]
        self.hidden = hidden
        return hidden @ self.p["backbone.2.weight"].T + self.p["backbone.2.bias"]

    def backward(self, d_out):
        grads = {"backbone.2.weight": d_out.T @ self.hidden, "backbone.2.bias": d_out.sum(axis=0)}
        d = d_out @ self.p["backbone.2.weight"]
        if self.batch_norm:
            grads["backbone.1.weight"] = (d * self.normed).sum(axis=0)
            grads["backbone.1.bias"] = d.sum(axis=0)
            d = d * self.p["backbone.1.weight"]
            parts = zip(np.split(d, self.ranks), np.split(self.normed, self.ranks), self.std, strict=True)
            d = np.concatenate([(g - g.mean(axis=0) - n * (g * n).mean(axis=0)) / std for g, n, std in parts])
        grads["backbone.0.weight"], grads["backbone.0.bias"] = d.T @ self.x, d.sum(axis=0)
        return grads


def train(start, batches, rates, *, ranks=1, batch_norm=False, gradient_acc=1, momentum=0.9, weight_decay=5e-4,
          clip=5.0, backbone_scale=1.0, sampled=None, **head):  # fmt: skip
    """Losses of every step, the final parameters by name, and the network with its running statistics.

    sampled: for every step the classes whose centers take part and train, in order; None: all.
    """
    net = Network(start, ranks, batch_norm)
    velocity = {name: np.zeros_like(value) for name, value in net.p.items()}
    losses = []
    everything = [np.arange(len(net.p["head.weight"]))] * len(rates)
    for (x, labels), lr, classes in zip(batches, rates, sampled or everything, strict=True):
        grads = {name: np.zeros_like(value) for name, value in net.p.items()}
        loss = 0.0
        # Each rank cuts its own rows into micro-batches; a micro-batch of the global batch is one of each rank's.
        rows = np.arange(len(x)).reshape(ranks, gradient_acc, -1)
        for micro in range(gradient_acc):
            chosen = rows[:, micro].ravel()
            out = net.forward(x[chosen].astype(np.float64))
            slots = np.searchsorted(classes, labels[chosen])
            part, d_out, d_centers = head_loss(out, net.p["head.weight"][classes], slots, **head)
            loss += part / gradient_acc
            grads["head.weight"][classes] += d_centers / gradient_acc
            for name, grad in net.backward(d_out).items():
                grads[name] += grad / gradient_acc
        if clip:
            norm = np.sqrt(sum((g**2).sum() for name, g in grads.items() if name.startswith("backbone")))
            for name in grads:
                if name.startswith("backbone"):
                    grads[name] *= min(1.0, clip / (norm + 1e-6))
        for name in net.p:
            rate = lr * backbone_scale if name.startswith("backbone") else lr
            rows = classes if name == "head.weight" else slice(None)
            old, weight = velocity[name][rows], net.p[name][rows]
            velocity[name][rows] = momentum * old + grads[name][rows] + weight_decay * weight
            net.p[name][rows] = weight - rate * velocity[name][rows]
        losses.append(loss)
    return np.array(losses), net.p, net
