"""Frame-level feature tracks, computed once and kept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "extract",
        "extraction",
        "extractors",
        "frame_audio",
        "frame_audio_graph",
        "frame_audio_tracks",
        "functionals",
        "keras_extractor",
        "openface_tracks",
        "store",
        "waveforms",
    ],
)
