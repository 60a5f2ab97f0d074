"""Raw media become frames, faces and sound."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["audio", "audio_graph", "faces", "openface", "video", "voice_separation"]
)
