"""What checkpoints call things: a parameter's weight by its name, what the optimizer keeps of it by "PARAMETER/SLOT".

Checkpoints of before had the name of the parameter alone for its momentum, and OneFlow's own names for the rest.
"""

from collections.abc import Mapping

import numpy as np

from optim.parameters import CENTERS

MEANS = "class_means"  # each rank's rows of them
_OWN_NAMES = {  # ends of OneFlow's names
    "System-Train-TrainStep": "updates",
    "-LossScale": "loss_scale",
    "-GoodStepCounter": "good_steps",
}
_COUNTS = ("updates", "skipped", "center_updates", "loss_scale", "good_steps")


def of_centers(name: str) -> tuple[str, ...]:
    """The names of an array of a store, the present one first."""
    return (CENTERS,) if name == "weight" else (f"{CENTERS}/{name}", f"head.{name}")


def present_state(state: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """The state of a training step, as saved after `step` steps, in present names."""
    present = {}
    for name, array in state.items():
        own = next((own for end, own in _OWN_NAMES.items() if name.startswith("System-") and name.endswith(end)), name)
        is_parameter = own not in _COUNTS and "/" not in own and not own.startswith("loss.")
        present[f"{own}/momentum" if is_parameter else own] = array
    if "center_updates" not in present:
        present.setdefault("updates", np.array([step]))
        present["skipped"], present["center_updates"] = step - present["updates"], np.array([step])
    return present
