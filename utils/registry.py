"""Classes by the names that configs use."""

from collections.abc import Callable
from typing import Generic, TypeVar

from utils.errors import UserError

T = TypeVar("T")


class Registry(Generic[T]):
    """kind: what the classes are to users, as in "there is no optimizer adm"."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: makes `name` available, and the class's attribute `name`."""

        def decorate(each: type[T]) -> type[T]:
            each.name = name  # type: ignore[attr-defined]
            self._classes[name] = each
            return each

        return decorate

    def names(self) -> list[str]:
        return sorted(self._classes)

    def make(self, name: str, **parameters) -> T:
        """One of that name. Raises UserError if there is none."""
        if name not in self._classes:
            raise UserError(f"there is no {self._kind} {name}; there are {', '.join(self.names())}")
        return self._classes[name](**parameters)
