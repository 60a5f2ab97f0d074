"""MatConvNet files: written here with SciPy in the layouts that MATLAB gives them, and read back."""

import numpy as np
import pytest
from scipy.io import savemat

from abaw_tf.backbones.matconvnet import is_mat_file, read_matconvnet


def cell(items, column=False):
    """A MATLAB cell array."""
    array = np.empty((len(items), 1) if column else (1, len(items)), object)
    array.reshape(-1)[:] = items
    return array


def convolution(name, filters, biases, old=False):
    """The struct of a convolution, with fields that MatConvNet writes and nobody here needs."""
    own = {"filters": filters, "biases": biases} if old else {"weights": cell([filters, biases])}
    layer = {"type": "conv", "stride": [1.0, 1.0], "pad": [1.0, 1.0, 1.0, 1.0], **own}
    return layer if name is None else {"name": name, **layer, "opts": cell([]), "precious": False}


@pytest.fixture
def arrays():
    """Filters and biases of two layers; the second is fully connected."""
    rng = np.random.default_rng(0)
    shapes = [((3, 3, 3, 4), (1, 4)), ((2, 2, 4, 5), (5, 1))]
    return [(rng.normal(size=f).astype("float32"), rng.normal(size=b).astype("float32")) for f, b in shapes]


def simplenn(arrays, **options):
    first, second = (
        convolution(name, *pair, **options) for name, pair in zip(options.pop("names", ("conv1_1", "fc6")), arrays)
    )
    pool = {"name": "pool1", "type": "pool", "method": "max", "pool": [2.0, 2.0], "stride": [2.0, 2.0]}
    return [first, {"name": "relu1_1", "type": "relu"}, pool, second, {"name": "prob", "type": "softmax"}]


def check(net, arrays, names=("conv1_1", "relu1_1", "pool1", "fc6", "prob")):
    assert [layer.type for layer in net.layers] == ["conv", "relu", "pool", "conv", "softmax"]
    assert tuple(layer.name for layer in net.layers) == names
    for layer, (filters, biases) in zip((net.layers[0], net.layers[3]), arrays):
        np.testing.assert_array_equal(layer.weights[0], filters)
        np.testing.assert_array_equal(layer.weights[1], biases.reshape(-1))
        assert {array.dtype for array in layer.weights} == {np.dtype("float32")}
    assert not any(net.layers[i].weights for i in (1, 2, 4))


@pytest.mark.parametrize("compressed", [False, True])
def test_the_present_layout(arrays, tmp_path, compressed):
    mean = np.array([129.1863, 104.7624, 93.5940], "float32").reshape(1, 1, 3)
    meta = {
        "normalization": {"imageSize": [224.0, 224.0, 3.0], "averageImage": mean, "interpolation": "bicubic"},
        "classes": {"name": cell(["n1", "n2"]), "description": cell(["Aamir Khan", "Aaron Staton"], column=True)},
    }
    path = tmp_path / "vgg-face.mat"
    savemat(path, {"layers": cell(simplenn(arrays)), "meta": meta}, do_compression=compressed)
    assert is_mat_file(path)
    net = read_matconvnet(path)
    check(net, arrays)
    np.testing.assert_array_equal(net.average_image, mean)
    assert net.classes == ("Aamir Khan", "Aaron Staton")


def test_the_old_layout(arrays, tmp_path):
    image = np.random.default_rng(1).uniform(0, 255, (6, 7, 3)).astype("float32")
    layers = simplenn(arrays, old=True)
    for layer in layers:
        layer.pop("name", None)
    content = {"layers": cell(layers), "normalization": {"averageImage": image}, "classes": {"name": cell(["a", "b"])}}
    savemat(tmp_path / "old.mat", content)
    net = read_matconvnet(tmp_path / "old.mat")
    check(net, arrays, names=("",) * 5)
    np.testing.assert_array_equal(net.average_image, image)
    assert net.classes == ("a", "b")


def test_a_network_that_was_saved_as_one_variable(arrays, tmp_path):
    net = {"layers": cell(simplenn(arrays)), "meta": {"normalization": {"averageImage": [1.0, 2.0, 3.0]}}}
    savemat(tmp_path / "net.mat", {"net": net, "info": [1.0]})
    net = read_matconvnet(tmp_path / "net.mat")
    check(net, arrays)
    np.testing.assert_array_equal(net.average_image, np.array([1, 2, 3], "float32").reshape(1, 1, 3))
    assert net.classes == ()


def test_layers_in_a_struct_array(arrays, tmp_path):
    layers = simplenn(arrays)
    structs = np.empty((1, len(layers)), [("name", object), ("type", object), ("weights", object)])
    for struct, layer in zip(structs[0], layers):
        struct["name"], struct["type"] = layer["name"], layer["type"]
        struct["weights"] = layer.get("weights", cell([]))
    savemat(tmp_path / "structs.mat", {"layers": structs})
    net = read_matconvnet(tmp_path / "structs.mat")
    check(net, arrays)
    assert net.average_image is None


def test_filters_whose_last_dimensions_are_one(tmp_path):
    """MATLAB keeps a 3×3×1×1 array as 3×3."""
    filters, bias = np.arange(9, dtype="float32").reshape(3, 3), np.array([[0.5]], "float32")
    savemat(tmp_path / "one.mat", {"layers": cell([convolution("conv", filters, bias)])})
    (layer,) = read_matconvnet(tmp_path / "one.mat").layers
    assert layer.weights[0].shape == (3, 3, 1, 1)
    np.testing.assert_array_equal(layer.weights[0][..., 0, 0], filters)


def test_files_that_cannot_be_read(arrays, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        read_matconvnet(tmp_path / "none.mat")
    (tmp_path / "page.mat").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(ValueError, match=r"not a MATLAB file.*fetch it again.*Received: .*DOCTYPE"):
        read_matconvnet(tmp_path / "page.mat")
    for compressed in (False, True):
        savemat(tmp_path / "whole.mat", {"layers": cell(simplenn(arrays))}, do_compression=compressed)
        content = (tmp_path / "whole.mat").read_bytes()
        for share in (0.1, 0.5, 0.9, 0.999):
            (tmp_path / "part.mat").write_bytes(content[: int(share * len(content))])
            with pytest.raises(ValueError, match="damaged"):
                read_matconvnet(tmp_path / "part.mat")
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM"
    (tmp_path / "new.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(512))
    with pytest.raises(ValueError, match=r"version 7\.3.*save it again with '-v7'"):
        read_matconvnet(tmp_path / "new.mat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"scores": [1.0, 2.0]}, r"no SimpleNN network.*Received: variables \['scores'\]"),
        ({"net": {"params": [1.0]}}, r"no SimpleNN network.*Received: variables \['params'\]"),
        ({"layers": cell([{"type": "dagnn.Conv", "name": "a"}])}, r"layer 1 is not one of a SimpleNN.*'dagnn\.Conv'"),
        ({"layers": cell([{"name": "a"}])}, "layer 1 is not one of a SimpleNN.*type=''"),
        ({"layers": cell([{"type": "conv", "name": "c", "weights": cell(["gpu", "gpu"])}])}, r"gpuArrays\?.*<U3"),
        ({"layers": cell([{"type": "conv", "name": "c", "weights": cell([[1.0]])}])}, "filters and biases.*1 arrays"),
        ({"layers": cell([convolution("c", np.ones((3, 3, 2, 4)), np.ones(3))])}, "one bias per filter.*3 biases"),
        (
            {"layers": cell([{"type": "relu"}]), "normalization": {"averageImage": np.ones((4, 4))}},
            "`averageImage` must be three numbers",
        ),
    ],
)
def test_other_content(content, message, tmp_path):
    savemat(tmp_path / "x.mat", content)
    with pytest.raises(ValueError, match=message):
        read_matconvnet(tmp_path / "x.mat")
