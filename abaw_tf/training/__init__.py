"""Recipes and the runner that trains them, remembers everything about a run, and predicts with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["calibration", "callbacks", "datasets", "needs", "recipe", "registry", "run", "runner"],
    submod_attrs={
        "recipe": ["EstimatorRecipe", "KerasRecipe", "Recipe", "RecipeError"],
        "registry": ["RECIPES", "ordered_recipes"],
        "run": ["Run", "RunError"],
        "datasets": ["open_dataset"],
        "runner": ["predict", "train"],
    },
)
