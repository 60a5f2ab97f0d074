"""STAT/LSTM multitask network of Do et al. (2020): builder and wirings. For the paper see :mod:`abaw_tf.models.stat_lstm`.

Three wirings share one `base` (VGGFace2 ResNet-50) and one `head`:

* *block*, as published: a block of images in, the outputs for its last frame; consecutive blocks run the base on the same images again;
* *chunk*: consecutive images in, outputs for every one of them; the base runs once per image, and the blocks are formed from what it
  gives. Outputs and gradients are those of the block network;
* *tracks*: stored features and probabilities in, outputs per frame; the head alone, for a base that is not trained.

All are causal: blocks reach back from the current frame. Frames count as the original counts them, over the usable frames of a trial;
a trial's first frame is repeated in front of it `block` - 1 times.
"""

from pathlib import Path

from abaw_tf.labels import check_option
from abaw_tf.models import stat_lstm_parts as parts
from abaw_tf.models.stat_lstm_heads import PRESETS, build_stat_lstm_head

TRAINABLE_FROM = "conv4_1_1x1_reduce"
WIRINGS = ("block", "chunk", "tracks")


def build_stat_lstm(
    preset="lstm_va",
    n_classes=7,
    image_size=224,
    batch_norm="fixed",
    trainable_from=TRAINABLE_FROM,
    weights=None,
    blocks=(3, 4, 6, 3),
    width=64,
    name=None,
    **head,
):
    """Build one of the six networks in the wiring that was published.

    Parameters
    ----------
    preset : {"lstm_va", "lstm", "frames_va", "frames", "image_va", "image"}
        Derivation, see :data:`PRESETS`: without or with a block of frames (STAT), the LSTM module, valence and arousal. At the
        defaults ``frames_va`` (model 4) has 39,442,382 parameters, ``lstm_va`` (model 6) 81,459,150, ``image_va`` (model 2) 40,362,958,
        or 44,571,598 with both units (2048,).
    n_classes : int
        Expression classes: 7, or 8 in the third edition.
    image_size : int
        Height and width of the RGB input in pixels; 224 as published, at least 32.
    batch_norm : {"fixed", "batch"}
        Normalise by the stored statistics in training, too (our choice: without it, outputs depend on which frames share a batch, and the
        wirings differ), or by those of the batch, as Keras 2 does in trainable layers.
    trainable_from : str or None
        See :func:`set_trainable`.
    weights : str, Path or None
        Weights of the base: a name in :data:`abaw_tf.backbones.checkpoints.REGISTRY`, a file, the folder of a finished run of the recipe
        ``face_model``, or None for random ones. The dense layers ``features`` and ``predictions`` stay random where a file lacks
        them. A name ``"do2020_…"`` fills the whole network; files under other names are read by
        :func:`abaw_tf.backbones.do2020_weights.load_do2020_weights`.
    blocks, width
        Size of the base, see :func:`abaw_tf.backbones.vggface2.build_vggface2_resnet50`.
    name : str, optional
        Name of the model; the preset by default.
    **head
        The rest, see :func:`abaw_tf.models.stat_lstm_heads.build_stat_lstm_head`: ``block`` (16), ``stat`` ("v0"), ``expression_units``,
        ``regression_units``, ``dropout`` (.1), ``lstm_units`` (1024), ``lstm_layers`` (2), ``recurrent_dropout`` (.1),
        ``recurrent_activation`` ("sigmoid").

    Returns
    -------
    keras.Model
        ``frames`` (batch, block, image_size, image_size, 3), or ``image`` (batch, image_size, image_size, 3) of the image networks, RGB
        in 0–255, to ``expression`` (batch, n_classes) probabilities in the official class order, ``arousal`` (batch, 1), ``valence``
        (batch, 1) and ``va_vector`` (batch, 5) in (-1, 1). All are float32 under any dtype policy.

        ``model.get_layer("base")`` and ``model.get_layer("head")`` are the two halves; for other wirings see :func:`rewire`.

    Raises
    ------
    ValueError
        An argument is out of range, or the weight file does not fit.

    Notes
    -----
    The fused vector is [max, min, mean, features, probabilities, LSTM]: 3 · 7 + 2048 + 7 = 2076 numbers, 4124 with the LSTM (code). The
    image networks have branches on the 2048 features alone, and no probabilities.
    """
    # Checks
    check_option("preset", preset, tuple(PRESETS))
    check_option("batch_norm", batch_norm, parts.BATCH_NORM)
    upper = build_stat_lstm_head(preset, 32 * width, n_classes, **head)

    # The functional graph
    published = str(weights).startswith("do2020_") and not Path(weights).is_dir()
    base_weights, frames = None if published else weights, PRESETS[preset].frames
    base = parts.build_base(n_classes, image_size, blocks, width, frames, batch_norm, base_weights)
    model = join(base, upper, name or preset)

    # The weights, and what is trained
    if published:
        from abaw_tf.backbones.checkpoints import locate
        from abaw_tf.backbones.do2020_weights import load_do2020_weights

        load_do2020_weights(model, locate(weights))
    set_trainable(model, trainable_from)
    return model


def join(base, head, name="stat_lstm"):
    """Put a base and a head together again, in the wiring that was published; they keep their weights and share them."""
    return (parts.wire_block if "probabilities" in head.input else parts.wire_image)(base, head, name)


def rewire(model, wiring="chunk", n_frames=None, base=None):
    """Wire the halves of a network differently; the new model shares its weights.

    Parameters
    ----------
    model : keras.Model
        From :func:`build_stat_lstm` or from this function.
    wiring : {"chunk", "block", "tracks"}
        See the module. ``"block"`` gives the published wiring back.
    n_frames : int, optional
        Current frames per chunk or track; any number by default. Compiled programs are faster and smaller for a fixed number.
    base : keras.Model, optional
        The base, needed where `model` has none (tracks).

    Returns
    -------
    keras.Model
        With ``"chunk"``, ``frames`` (batch, block - 1 + n_frames, H, W, 3) to outputs (batch, n_frames, …). With ``"tracks"``,
        ``probabilities`` (batch, block - 1 + n_frames, n_classes) and ``features`` (batch, n_frames, 2048), or as long as the
        probabilities with ``stat="v1"``, to outputs (batch, n_frames, …). An image network has blocks of one frame and no probabilities.

    Examples
    --------
    >>> model = build_stat_lstm("frames_va", image_size=32, blocks=(1, 1, 1, 1), width=4)
    >>> rewire(model, "chunk", n_frames=10).input["frames"].shape
    (None, 25, 32, 32, 3)
    """
    check_option("wiring", wiring, WIRINGS)
    head, name = model.get_layer("head"), f"{model.name.removesuffix('_chunk').removesuffix('_tracks')}"
    if wiring == "tracks":
        return parts.wire_tracks(head, n_frames, f"{name}_tracks")
    if base is None:
        if "base" not in {layer.name for layer in model.layers}:
            raise ValueError(f"a model of tracks has no base: give `base`. Received: model={model.name!r}")
        base = model.get_layer("base")
    return join(base, head, name) if wiring == "block" else parts.wire_chunk(base, head, n_frames, f"{name}_chunk")


def set_trainable(model, trainable_from=TRAINABLE_FROM):
    """Train the head, and the base from one layer on.

    Parameters
    ----------
    model : keras.Model
        In any wiring that has a base. Other wirings of the same halves follow; those that are compiled must be compiled again.
    trainable_from : str or None
        Name of the first layer of the base that is trained: ``"conv4_1_1x1_reduce"`` (code: 1,498,048 parameters of the networks are not
        trained, which are the first three stages and the stored batch statistics of the last two; the paper says "the last stage",
        ``"conv5_1_1x1_reduce"``). ``"head"``: nothing of the base. None: all.

    Raises
    ------
    ValueError
        The base has no such layer.
    """
    base = model.get_layer("base")
    names = [layer.name for layer in base.layers]
    if trainable_from not in (None, "head", *names):
        raise ValueError(
            f"`trainable_from` must be a layer of the base, 'head' or None. Received: trainable_from={trainable_from!r}"
        )
    first = {None: 0, "head": len(names)}.get(trainable_from)
    first = names.index(trainable_from) if first is None else first
    base.trainable = True
    for i, layer in enumerate(base.layers):
        layer.trainable = i >= first
