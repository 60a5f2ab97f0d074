"""Networks with published weights, and the readers of those weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "checkpoints",
        "cnn14",
        "expnet",
        "fer_xception",
        "log_mel",
        "matconvnet",
        "published",
        "spec_augment",
        "tf1_checkpoint",
        "torch_checkpoint",
        "vgg_fer",
        "vgg_fer_weights",
        "vggface2",
    ],
)
