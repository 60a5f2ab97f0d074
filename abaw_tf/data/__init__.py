"""A dataset on disk becomes arrays: the Aff-Wild2 reader, its synthetic twin, folds, windows and pipelines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "affwild2",
        "annotations",
        "augment",
        "balance",
        "balance_pipeline",
        "doctor",
        "face_datasets",
        "folds",
        "pipelines",
        "synthetic",
        "windows",
    ],
    submod_attrs={
        "affwild2": ["AffWild2"],
        "face_datasets": ["FaceImages"],
        "synthetic": ["make_synthetic", "make_synthetic_faces"],
    },
)
