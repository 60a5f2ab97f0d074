"""Decision-level fusion: weighted averages of several models' predictions, the search for their weights, and what it is worth.

NumPy, SciPy and Numba only: works on prediction tables from anywhere, without TensorFlow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "alignment",
        "averaging",
        "calibration",
        "consensus",
        "confusions",
        "continuous",
        "dirichlet",
        "search",
        "tables",
        "weights_file",
    ],
    submod_attrs={
        "alignment": ["align", "align_labels"],
        "averaging": ["majority", "weighted_average"],
        "calibration": ["CalibratedFusion", "TemperatureScaling"],
        "consensus": ["ccc_centering", "centre_tables", "evaluator_weighted_estimator"],
        "confusions": ["count_confusions"],
        "continuous": ["CCCFusion", "ccc_of_weights"],
        "dirichlet": ["DirichletFusion"],
        "held_out_estimate": ["HeldOut", "held_out"],
        "search": ["search_tables"],
        "tables": ["fuse_tables"],
        "weights_file": ["FusionWeights"],
    },
)
