"""Networks with published weights, and the readers of those weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["checkpoints", "expnet", "fer_xception", "tf1_checkpoint", "vggface2"]
)
