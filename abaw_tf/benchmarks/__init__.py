"""Measurements behind the figures that the toolkit promises; tools/benchmark.py runs them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["features", "fusion", "pipelines", "results", "scoring", "startup"]
)
