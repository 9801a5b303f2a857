"""A trainer in plain float64 NumPy, written from the papers: what the compiled step is held against.

The network is linear -> [BatchNorm] -> linear, so that every gradient can be written down; the head is that of the
losses' papers (tests/losses/formulas.py), with finite differences for slopes (good to 1e-9); the updates are those of
tests/optim/formulas.py.
"""

import numpy as np

from tests.losses.formulas import (
    FORMULAS,
    LEARNED,
    NORM_WITHOUT_GRADIENT,
    PARTIAL_SLOPES,
    derivative,
    next_state,
    statistics,
)
from tests.optim.formulas import OPTIMIZERS

SCALES = {"softmax": 1.0, "adacos": 1.0, "circle": 256.0}  # of losses that have another scale than 64
BN_EPS, BN_MOMENTUM = 1e-5, 0.1


def head_loss(
    embedding, centers, labels, loss="arcface", parameters=(), filtering=0.0, smoothing=0.0, state=(), seen=None,
    random=None,
):  # fmt: skip
    """Mean loss, its gradients by embedding (B, E) and centers, and the loss's state after the step, by name.

    centers: (C, E), or (C, K, E), of which the nearest of a class counts; longer by one number for the plain softmax,
    the bias, and by what classes learn besides. state: before it. seen: a list; the formulas' arguments are appended to
    it. random: (B, 1).
    """
    parameters = dict(parameters)
    scale, raw = parameters.pop("gamma", parameters.pop("s", SCALES.get(loss, 64.0))), loss == "softmax"
    rows, shape, learned = np.arange(len(labels)), centers.shape, LEARNED.get(loss, ())
    centers = centers.reshape(len(centers), -1, shape[-1])
    centers, more = np.split(centers, [shape[-1] - len(learned)], axis=2)
    e_norm = np.linalg.norm(embedding, axis=1, keepdims=True)
    e = embedding if raw else embedding / e_norm
    c_norm = np.ones((1, 1, 1)) if raw else np.linalg.norm(centers, axis=2, keepdims=True)
    c = centers / c_norm
    if raw and parameters.get("bias", True):
        e = np.concatenate([e, np.ones((len(e), 1))], axis=1)
    each = np.einsum("be,cke->bck", e, c)
    nearest = each == each.max(axis=2, keepdims=True)
    cos = each.max(axis=2)
    own = cos[rows, labels][:, None]
    others = cos.copy()
    others[rows, labels] = -np.inf
    own_center = nearest[rows, labels].argmax(axis=1)
    numbers = {name: more[labels, own_center, i][:, None] for i, name in enumerate(learned)}
    sums = statistics(loss, own, others, dict(state), **parameters)
    state = next_state(loss, own, e_norm, {**dict(state), **sums}, **parameters)
    if seen is not None:
        seen.append((own, e_norm, others, state))
    given = {**state, **sums, **numbers, "random": random}

    def formula(part, own=own, norm=e_norm, others=cos, **changed):
        return FORMULAS[loss](own, norm, others, given | changed, **parameters)[part]

    target, logits, penalty = formula(slice(None))
    slope = derivative(lambda values: formula(0, own=values), own)
    if parameters.get("gradient") == "straight_through":
        slope = np.ones_like(own)
    norm_slope = 0.0 if loss in NORM_WITHOUT_GRADIENT else derivative(lambda values: formula(0, norm=values), e_norm)
    passes = derivative(lambda values: formula(1, others=values), cos)
    if loss in PARTIAL_SLOPES:
        slope, passes = PARTIAL_SLOPES[loss](own, cos, **parameters)
    logits = logits.copy()
    if filtering:
        passes[cos > filtering] = 0
        logits[cos > filtering] = 0
    logits[rows, labels] = target[:, 0]
    passes[rows, labels] = slope[:, 0]
    logits *= scale
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_prob = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = np.full_like(cos, smoothing / cos.shape[1])
    wanted[rows, labels] += 1 - smoothing
    value = -(wanted * log_prob).sum(axis=1).mean() + penalty.mean()
    d_logits = np.exp(log_prob) - wanted
    d_norm = d_logits[rows, labels][:, None] * scale * norm_slope
    d_norm = (d_norm + derivative(lambda values: formula(2, norm=values), e_norm)) / len(labels)
    d_more = np.zeros_like(more)
    for i, name in enumerate(learned):
        slope, by_penalty = (
            derivative(lambda values, part=part, name=name: formula(part, **{name: values}), numbers[name])
            for part in (0, 2)
        )
        d_number = (d_logits[rows, labels][:, None] * scale * slope + by_penalty) / len(labels)
        np.add.at(d_more, (labels, own_center, i), d_number[:, 0])
    d_each = (d_logits / len(labels) * scale * passes)[:, :, None] * nearest
    d_e = np.einsum("bck,cke->be", d_each, c)[:, : embedding.shape[1]]
    d_c = np.einsum("bck,be->cke", d_each, e)
    d_embedding, d_centers = d_e + d_norm * embedding / e_norm, d_c
    if not raw:
        d_embedding = (d_e - e * (d_e * e).sum(axis=1, keepdims=True)) / e_norm + d_norm * e
        d_centers = (d_c - c * (d_c * c).sum(axis=2, keepdims=True)) / c_norm
    return value, d_embedding, np.concatenate([d_centers, d_more], axis=2).reshape(shape), state


class Network:
    """Parameters by the names OneFlow gives them; BatchNorm sees each of `ranks` ranks' rows on their own."""

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


def train(
    start, batches, rates, *, ranks=1, batch_norm=False, sync_batchnorm=False, gradient_acc=1,
    optimizer="sgd", optimizer_parameters=(), head_optimizer=None, multipliers=(), frozen=(), decays_vectors=True,
    clip=5.0, sampled=None, state=(), random=None, weight=1.0, terms=(), teacher=None, distill=None, **head
):  # fmt: skip
    """Losses of every step, the final parameters by name, the network with its running statistics, and the final state
    of the loss.

    multipliers: beginning of names -> factor of the rate; frozen: beginnings of names; both may end with "*". sampled:
    for every step the classes whose centers take part and train, in order; None: all. state: the loss's at first.
    random: of every step, (n, 1). weight: of the loss over class centers; terms: of each loss on embeddings its weight,
    and a function of (embeddings, labels) that gives value and gradient. teacher: of every step, (n, T); distill: as a
    term, of (student, teacher), a student of another length being projected by "projection.weight".
    """
    net = Network(start, 1 if sync_batchnorm else ranks, batch_norm)
    slots = {name: {} for name in net.p}
    multipliers, parameters = dict(multipliers), dict(optimizer_parameters)
    decay = parameters.pop("weight_decay", 5e-4)
    losses = []
    everything = [np.arange(len(net.p["head.weight"]))] * len(rates)
    for step, ((x, labels, *_), lr, classes) in enumerate(zip(batches, rates, sampled or everything, strict=True)):
        grads = {name: np.zeros_like(value) for name, value in net.p.items()}
        loss, states = 0.0, []
        # Each rank cuts its own rows into micro-batches; a micro-batch of the global batch is one of each rank's.
        rows = np.arange(len(x)).reshape(ranks, gradient_acc, -1)
        for micro in range(gradient_acc):
            chosen = rows[:, micro].ravel()
            out = net.forward(x[chosen].astype(np.float64))
            ids = np.searchsorted(classes, labels[chosen])
            given = {"state": state, "random": None if random is None else random[step][chosen]}
            part, d_out, d_centers, after = head_loss(out, net.p["head.weight"][classes], ids, **given, **head)
            part, d_out, d_centers = weight * part, weight * d_out, weight * d_centers
            for share, term in terms:
                value, gradient = term(out, labels[chosen])
                part, d_out = part + share * value, d_out + share * gradient
            if distill:
                share, term = distill
                projection = net.p.get("projection.weight", np.eye(out.shape[1]))
                value, gradient = term(out @ projection.T, teacher[step][chosen].astype(np.float64))
                part, d_out = part + share * value, d_out + share * gradient @ projection
                if "projection.weight" in grads:
                    grads["projection.weight"] += share * gradient.T @ out / gradient_acc
            states.append(after)
            loss += part / gradient_acc
            grads["head.weight"][classes] += d_centers / gradient_acc
            for name, grad in net.backward(d_out).items():
                grads[name] += grad / gradient_acc
        for _, term in terms:
            getattr(term, "end_step", lambda: None)()
        state = {name: np.mean([after[name] for after in states]) for name in states[0]}
        for name in [name for name in grads if name.startswith(tuple(pattern.rstrip("*") for pattern in frozen))]:
            del grads[name]
        backbone = [name for name in grads if name.startswith(("backbone", "projection"))]
        if clip and backbone:
            norm = np.sqrt(sum((grads[name] ** 2).sum() for name in backbone))
            for name in backbone:
                grads[name] *= min(1.0, clip / (norm + 1e-6))
        for name, grad in grads.items():
            factor = next((f for beginning, f in multipliers.items() if name.startswith(beginning.rstrip("*"))), 1.0)
            own = decay if decays_vectors or grad.ndim > 1 else 0.0
            formula = OPTIMIZERS[optimizer if name != "head.weight" else head_optimizer or optimizer]
            rows = classes if name == "head.weight" else slice(None)
            held = {slot: values[rows] for slot, values in slots[name].items()}
            kept = parameters if formula is OPTIMIZERS[optimizer] else {}
            net.p[name][rows], held = formula(net.p[name][rows], held, grad[rows], lr * factor, own, step + 1, **kept)
            for slot, values in held.items():
                slots[name].setdefault(slot, np.zeros_like(net.p[name]))[rows] = values
        losses.append(loss)
    return np.array(losses), net.p, net, state
