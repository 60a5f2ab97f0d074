"""abaw_tf: affective behaviour analysis in the wild with Keras and TensorFlow.

Importing the package loads neither TensorFlow nor Keras: each submodule is imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "backbones",
        "data",
        "evaluation",
        "features",
        "fusion",
        "keras_metrics",
        "labels",
        "losses",
        "media",
        "metrics",
        "models",
        "plots",
        "predictions",
        "report",
        "training",
    ],
)
