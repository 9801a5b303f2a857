"""Which parts of a backbone activation checkpointing computes again."""

from oneflow import nn

from utils.errors import UserError


def segments(backbone: nn.Module, kind: str, prefix: str = "") -> list[str]:
    """The names of modules, with `prefix` before each, that cover the backbone's blocks; all of them are called once.

    kind: "blocks", or "stages", which keep less and are computed again as a whole. A backbone says what its stages are
    by `stage_modules()`, a list of modules. A stage that is an nn.Sequential has its children for blocks, and any other
    is one block. Raises UserError if the backbone does not say it.
    """
    if not hasattr(backbone, "stage_modules"):
        raise UserError(
            f"{type(backbone).__name__} has no stages to compute again; write activation_checkpointing=None"
        )
    chosen = backbone.stage_modules()
    if kind == "blocks":
        chosen = [block for stage in chosen for block in (stage if isinstance(stage, nn.Sequential) else [stage])]
    names = {id(module): name for name, module in backbone.named_modules()}
    return [f"{prefix}{names[id(module)]}" for module in chosen]
