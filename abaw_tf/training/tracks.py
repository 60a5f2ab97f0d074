"""The feature stores that a recipe's tracks come from: given by the caller, computed with a trained model, or by an extractor."""

from pathlib import Path

from abaw_tf.features.store import FeatureStore
from abaw_tf.training.needs import Images, Track
from abaw_tf.training.run import Run, RunError


def check_names(recipe, stores):
    """Refuse stores that a recipe does not ask for: with a name mistyped it would compute its tracks anew, which may take hours."""
    # Estimators are fitted to one track.
    needs = recipe.inputs() if hasattr(recipe, "inputs") else {"": recipe.track()}
    asked = [
        need.store if isinstance(need, Track) else name for name, need in needs.items() if not isinstance(need, Images)
    ]
    unknown = sorted(set(stores) - set(asked))
    if unknown:
        taken = f"the stores {', '.join(asked)}" if asked else "no stores"
        raise RunError(
            f"{recipe.name} as it stands takes {taken}; correct the name, or leave it out. "
            f"Received: --store {', '.join(f'{name}={stores[name]}' for name in unknown)}"
        )


def open_store(need, dataset, trials, stores=None, progress=True, folder=None):
    """Return the `FeatureStore` behind a `Track`.

    Parameters
    ----------
    need : Track
        What the recipe declares.
    dataset : AffWild2
        Where the images are, if the track has to be computed.
    trials : sequence of str
        Trials whose tracks are needed.
    stores : mapping of str to FeatureStore or path, optional
        Stores by name.
    progress : bool
        Show a bar while computing.
    folder : Path, optional
        Where tracks go that an extractor computes.

    Raises
    ------
    RunError
        No store of that name was given and the recipe names no run, the run does not fit, or the store is of another layer.
    ExtractionError
        Some trials could not be computed.
    """
    store = (stores or {}).get(need.store)
    if store is not None:
        store = store if hasattr(store, "read") else FeatureStore.open(store)
        _check_layer(need, store)
        return store
    if need.extractor and folder is not None:
        from abaw_tf.features.measurements import extract_measurements

        return FeatureStore.open(
            extract_measurements(need.extractor, dataset, folder, trials, progress=progress).folder
        )
    if not need.run:
        raise RunError(
            f"the recipe needs the feature track `{need.store}`: give its store (stores={{'{need.store}': folder}}, or on the command line "
            f"--store {need.store}=FOLDER), or in the recipe the run of a trained model that computes it. Received: stores "
            f"{sorted(stores or {})}"
        )
    return extract_with_run(need.run, need.layer, dataset, trials, progress)


def check_length(track, name, n_frames):
    """Refuse a track that is not as long as its trial: longer is no better than shorter, for it is of another video or frame rate."""
    if len(track) != n_frames:
        raise RunError(
            f"trial {track.trial!r}: its track `{name}` has {len(track)} frames, the dataset {n_frames}; extract its features again"
        )


def _check_layer(need, store):
    """Refuse a store of another of the layers that a recipe tells apart: the run card would name the wrong one."""
    if not need.layers:
        return
    layer = store.config.get("layer")
    if layer in need.layers and layer != need.layer:
        raise RunError(
            f"{store.folder}: these are features of the layer {layer!r}, the recipe is for {need.layer!r}; set the recipe's layer to "
            f"{layer!r} (on the command line --layer {layer}), or extract the other. Received: --store {need.store}={store.folder}"
        )


def finished_run(folder):
    """Open a run whose model makes tracks; `RunError` if it is not finished, for it would make other tracks later."""
    run = Run(folder)
    if not run.finished:
        raise RunError(
            f"{run.folder}: tracks come from a finished run; train it to its end first. Received: status {run.card.get('status')}"
        )
    return run


_last_model = (None, None)


def _model_of(run):
    """The run's model, kept until that of another file is asked for: a training with tracks of two layers needs it four times."""
    global _last_model
    file = run.model_path
    written = (file.resolve(), file.stat().st_mtime_ns) if file.is_file() else None
    if written is None or written != _last_model[0]:
        _last_model = (written, run.load_model())
    return _last_model[1]


def extract_with_run(folder, layer, dataset, trials, progress=True, store_root=None):
    """Compute the output of a layer of a trained model for every crop, or reuse what is there, in `store_root` or ``<run>/features``.

    Trials of two datasets may have the same names: their tracks need folders of their own.
    """
    from abaw_tf.features.extract import extract
    from abaw_tf.features.extractors import KerasExtractor

    run = finished_run(folder)
    images = [need for need in run.recipe.inputs().values() if isinstance(need, Images)]
    if len(run.recipe.inputs()) != 1 or len(images) != 1:
        raise RunError(f"{run.folder}: only a model of single face crops gives a track. Received: {run.recipe.name}")
    extractor = KerasExtractor(_model_of(run), layer, name=f"{run.recipe.name}-{layer}")
    report = extract(
        dataset,
        extractor,
        store_root or Path(run.folder) / "features",
        images[0].kind,
        trials=trials,
        progress=progress,
    )
    return FeatureStore.open(report.folder)
