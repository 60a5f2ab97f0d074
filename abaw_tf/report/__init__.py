"""Self-contained HTML pages: the report of evaluated models, and the report of a fusion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"evaluation": ["write_report"], "fusion": ["write_fusion_report"]}
)
