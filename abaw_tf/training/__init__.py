"""Recipes and the runner that trains them, remembers everything about a run, and predicts with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["calibration", "callbacks", "needs", "recipe", "runner"],
    submod_attrs={
        "recipe": ["RECIPES", "EstimatorRecipe", "KerasRecipe", "Recipe", "RecipeError"],
        "runner": ["predict", "train"],
    },
)
