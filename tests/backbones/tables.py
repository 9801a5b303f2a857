"""What tables of names and shapes are written with."""


def norm(name, width):
    per_channel = dict.fromkeys(["weight", "bias", "running_mean", "running_var"], (width,))
    return {f"{name}.{key}": shape for key, shape in (per_channel | {"num_batches_tracked": ()}).items()}


def conv(name, outs, ins, kernel=1, bias=False):
    """ins: of one group."""
    table = {f"{name}.weight": (outs, ins, kernel, kernel)}
    return table | {f"{name}.bias": (outs,)} if bias else table


def shapes(model, but=()):
    """Of everything that a model stores, but for names that begin with `but`."""
    state = model.state_dict().items()
    return {name: tuple(value.shape) for name, value in state if not name.startswith(tuple(but))}


def count(model, but=()):
    return sum(value.numel() for name, value in model.named_parameters() if not name.startswith(tuple(but)))
