"""In a process of its own: CNN14, its front end and its checkpoints by the packages that published them, under PyTorch.

Usage: cnn14_reference.py (checkpoints | front_end | cnn14) FOLDER

Writes FOLDER/reference.npz and, beside it, checkpoints by torch.save in both formats.
"""

import importlib.util
import sys
import types
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FORMATS = {"zip": True, "legacy": False}
# Sample rate -> window, hop, upper edge, as in the published training script.
FRONT_ENDS = {32000: (1024, 320, 14000), 16000: (512, 160, 8000)}


def save(content, path):
    for name, new in FORMATS.items():
        torch.save(content, path.with_name(f"{path.name}.{name}.pth"), _use_new_zipfile_serialization=new)


def checkpoints(folder):
    """State dicts of every type and layout, inside what a training script saves."""
    torch.manual_seed(0)
    row = torch.randn(4, 6)
    state = OrderedDict(
        {
            str(dtype).removeprefix("torch."): (100 * torch.rand(3, 5)).to(dtype)
            for dtype in (torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
        },
        transposed=row.T,
        row=row[1],
        column=row[:, 2],
        expanded=row[:1].expand(3, 6),
        scalar=torch.tensor(7),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
        channels_last=torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    )
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(1, 1, 5, 5)).sum().backward()
    optimizer.step()
    sampler = {"queue": [np.arange(5), np.float64(0.5)], "random_state": np.random.RandomState(0).get_state()}
    save(state, folder / "state")
    save({"iteration": 5, "model": state, "optimizer": optimizer.state_dict(), "sampler": sampler}, folder / "training")
    save(network.state_dict(), folder / "network")
    save(network, folder / "whole")
    arrays = {f"state/{name}": tensor.detach().numpy() for name, tensor in state.items()}
    arrays |= {f"network/{name}": tensor.numpy() for name, tensor in network.state_dict().items()}
    np.savez(folder / "reference.npz", **arrays)


def sounds(rate, seconds, n=2):
    """Noise that swells over a glide, and silence at the end."""
    rng, time = np.random.default_rng(0), np.arange(int(seconds * rate)) / rate
    glide = 0.2 * np.sin(2 * np.pi * (200 + 900 * time) * time)
    found = (time / seconds * 0.2 + 0.001) * rng.normal(size=(n, time.size)) + glide
    found[:, -time.size // 20 :] = 0
    return found.clip(-1, 1).astype("float32")


def front_end(folder):
    """torchlibrosa: decibels, and what its SpecAugmentation silences."""
    from torchlibrosa.augmentation import SpecAugmentation
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    arrays = {}
    for rate, (window, hop, f_max) in FRONT_ENDS.items():
        spectrogram = Spectrogram(n_fft=window, hop_length=hop, win_length=window, freeze_parameters=True)
        filters = LogmelFilterBank(
            sr=rate,
            n_fft=window,
            n_mels=64,
            fmin=50,
            fmax=f_max,
            ref=1.0,
            amin=1e-10,
            top_db=None,
            freeze_parameters=True,
        )
        sound = sounds(rate, 1.2)
        arrays |= {f"sound_{rate}": sound, f"log_mel_{rate}": filters(spectrogram(torch.tensor(sound)))[:, 0].numpy()}
    torch.manual_seed(0)
    augment = SpecAugmentation(time_drop_width=64, time_stripes_num=2, freq_drop_width=8, freq_stripes_num=2).train()
    kept = augment(torch.ones(3000, 1, 151, 64))[:, 0].numpy()
    arrays |= {"silent_frames": ~kept.any(axis=2), "silent_bands": ~kept.any(axis=1)}
    np.savez(folder / "reference.npz", **arrays)


def published_cnn14():
    """The class, without the package's import, which downloads a list of labels."""
    package = types.ModuleType("panns_inference")
    package.__path__ = list(importlib.util.find_spec("panns_inference").submodule_search_locations)
    sys.modules["panns_inference"] = package
    from panns_inference.models import Cnn14

    return Cnn14


def randomized(network):
    """Normalisations with other than their initial values; that of the spectrogram fits decibels."""
    for name, values in [*network.named_parameters(), *network.named_buffers()]:
        if "bn" in name and values.dtype.is_floating_point:
            if name.endswith(("weight", "running_var")):
                torch.nn.init.uniform_(values, 0.5, 1.5)
            else:
                torch.nn.init.normal_(values, 0, 0.2)
    network.bn0.running_mean -= 20
    network.bn0.running_var *= 200
    return network.eval()


@torch.no_grad()
def cnn14(folder):
    """Networks of both rates with random weights; and that of 32 kHz as the code of Dresvyanskiy et al. (2020) feeds it."""
    network_class, arrays = published_cnn14(), {}
    for rate, (window, hop, f_max) in FRONT_ENDS.items():
        torch.manual_seed(rate)
        settings = {"mel_bins": 64, "fmin": 50, "classes_num": 527}
        network = randomized(network_class(rate, window, hop, fmax=f_max, **settings))
        save({"iteration": 5, "model": network.state_dict()}, folder / str(rate))
        arrays |= outputs(network, sounds(rate, 3.0), str(rate))
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        arrays[f"parameters_{rate}"] = trained
    # A network declared for 16 kHz, with the window and hop of 32 kHz; then the checkpoint of 32 kHz brings its own filters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the filters that are lost at once
        network = network_class(16000, 1024, 320, fmax=14000, **settings)
    network.load_state_dict(torch.load(folder / "32000.zip.pth")["model"])
    arrays |= outputs(network.eval(), sounds(16000, 3.0), "mismatch")
    np.savez(folder / "reference.npz", **arrays)


def outputs(network, sound, name):
    waveform = torch.tensor(sound)
    found = network(waveform)
    log_mel = network.logmel_extractor(network.spectrogram_extractor(waveform))[:, 0]
    probabilities = found["clipwise_output"]
    arrays = {"log_mel": log_mel, "embedding": found["embedding"], "logits": torch.logit(probabilities.double())}
    return {f"sound_{name}": sound} | {f"{key}_{name}": values.numpy() for key, values in arrays.items()}


if __name__ == "__main__":
    mode, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(2)
    {"checkpoints": checkpoints, "front_end": front_end, "cnn14": cnn14}[mode](out)
