"""The published models, one module each: its builder(s) and its recipe.

A module's name is its recipe's name. Adding a system means adding a module here that defines a builder and one subclass of
`abaw_tf.training.recipe.KerasRecipe` or `EstimatorRecipe`; nothing else has to change.
"""

import pkgutil

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=[module.name for module in pkgutil.iter_modules(__path__)]
)
