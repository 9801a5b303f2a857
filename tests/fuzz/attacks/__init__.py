"""Files that someone made to hurt, each made from code: by name, with the format whose folder it is put into."""

import importlib
import pkgutil

from tests.fuzz.attacks.attack import ATTACKS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
__all__ = ["ATTACKS"]
