"""Decision-level fusion of prediction tables: weighted averaging and the search for its weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["averaging", "dirichlet"],
    submod_attrs={
        "alignment": ["align"],
        "averaging": ["majority", "weighted_average"],
        "calibration": ["CalibratedFusion", "TemperatureScaling"],
        "dirichlet": ["DirichletFusion"],
        "held_out_estimate": ["HeldOut", "held_out"],
        "tables": ["fuse_tables"],
    },
)
