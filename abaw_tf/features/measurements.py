"""Tracks that need no network, by name: what is computed from the sound, and what OpenFace has measured."""

MEASUREMENTS = {
    "frame_audio": "40 MFCC and 128 mel bands around every frame, from the video's sound (Rasipuram et al.)",
    "openface": "the 709 measurements of OpenFace 2, from its CSV files",
}


def extract_measurements(name, dataset, store_root, trials=None, shard=(0, 1), progress=True):
    """Compute one of :data:`MEASUREMENTS` for the trials of a dataset.

    Parameters
    ----------
    name : {"frame_audio", "openface"}
    dataset, store_root, trials, shard, progress
        As of :func:`abaw_tf.features.frame_audio_tracks.extract_frame_audio` and
        :func:`abaw_tf.features.openface_tracks.extract_openface`.

    Returns
    -------
    abaw_tf.features.extract.ExtractionReport

    Raises
    ------
    ValueError
        There is no such name.
    abaw_tf.features.extract.ExtractionError
        At the end, if trials failed. All others are done.
    """
    if name == "frame_audio":
        from abaw_tf.features.frame_audio_tracks import extract_frame_audio as extract
    elif name == "openface":
        from abaw_tf.features.openface_tracks import extract_openface as extract
    else:
        raise ValueError(f"`name` must be one of {', '.join(MEASUREMENTS)}. Received: name={name!r}")
    return extract(dataset, store_root, trials=trials, shard=shard, progress=progress)
