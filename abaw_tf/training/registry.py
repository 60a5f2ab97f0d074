"""Which recipes there are: found in the modules of `abaw_tf.models`, and put in an order in which they can be trained."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from abaw_tf.training.fields import RecipeError, unknown


@lru_cache
def _defines_recipe(file: str) -> bool:
    """Whether a source file defines a recipe, told from its text: importing every model would take seconds."""
    return re.search(r"^class \w+\(\w*Recipe\):", Path(file).read_text(encoding="utf-8"), re.M) is not None


class _Recipes(Mapping):
    """Recipe classes by name, one per module of `abaw_tf.models`; a module is imported when its recipe is asked for.

    Modules without a recipe (layers, parts of a model) are left out.
    """

    @staticmethod
    def _modules() -> dict[str, str]:
        import abaw_tf.models

        found = sorted(pkgutil.iter_modules(abaw_tf.models.__path__), key=lambda module: module.name)
        return {module.name: str(Path(module.module_finder.path) / f"{module.name}.py") for module in found}

    def _names(self) -> list[str]:
        return [name for name, file in self._modules().items() if _defines_recipe(file)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name) -> bool:
        return name in self._names()

    def __getitem__(self, name: str) -> type:
        if name not in self._modules():
            raise RecipeError(unknown("recipe", name, self))
        module = importlib.import_module(f"abaw_tf.models.{name}")
        # Recognised by what they offer: recipe.py looks recipes up here, so this file does not import it.
        for cls in vars(module).values():
            is_recipe = isinstance(cls, type) and hasattr(cls, "presets") and hasattr(cls, "from_preset")
            if is_recipe and getattr(cls, "name", None) == name and cls.__module__ == module.__name__:
                return cls
        raise RecipeError(f"abaw_tf/models/{name}.py must define one Recipe subclass with `name = {name!r}`")


RECIPES = _Recipes()


def ordered_recipes(names=None, preset="paper", folder="runs", **changes) -> list:
    """Recipes in an order in which each finds the runs that it builds on, in ``<folder>/<name>``.

    Parameters
    ----------
    names : sequence of str, optional
        Recipes wanted; those they build on are added. By default all that are trained on Aff-Wild2.
    preset : str
        Preset of each.
    folder : path-like
        Where the runs are, or will be.
    **changes
        Fields of every recipe, for example ``seed``.

    Returns
    -------
    list of Recipe

    Raises
    ------
    RecipeError
        An unknown recipe, preset or field.
    """
    ordered = {}

    def add(name):
        if name not in ordered:
            cls = RECIPES[name]
            for other in cls.runs.values():
                add(other)
            found = {field: str(Path(folder) / other) for field, other in cls.runs.items()}
            ordered[name] = cls.from_preset(name, preset, **found, **changes)

    for name in [name for name in RECIPES if RECIPES[name].dataset == "affwild2"] if names is None else names:
        add(name)
    return list(ordered.values())
