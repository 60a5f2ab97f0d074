"""Self-contained HTML pages: what a reader needs to judge a run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"evaluation": ["write_report"]})
