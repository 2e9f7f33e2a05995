"""Modules as they were before an engine took them."""

from __future__ import annotations

from torch import nn

__all__ = ["Modules"]

_REGISTRIES = tuple(key for key, value in vars(nn.Module()).items() if isinstance(value, dict))
"""Where a module keeps its parameters, submodules and hooks."""


class Modules:
    """What a module and those in it are, before an engine changes them in place.

    Args:
        root: The module.
    """

    def __init__(self, root: nn.Module) -> None:
        self._before = [
            (module, type(module), {key: vars(module)[key].copy() for key in _REGISTRIES})
            for module in root.modules()
        ]
        self._marked = [(x, set(vars(x))) for x in (*root.modules(), *root.parameters())]
        self._added: list[set[str]] = []

    def look(self) -> None:
        """Notes the marks that the engine has left; called once it is there."""
        self._added = [set(vars(thing)) - names for thing, names in self._marked]

    def restore(self) -> None:
        """Puts class, parameters, submodules and hooks back, and takes the marks away."""
        for module, kind, registries in self._before:
            module.__class__ = kind
            vars(module).update(registries)
        for (thing, _), added in zip(self._marked, self._added, strict=True):
            for name in added:
                vars(thing).pop(name, None)
