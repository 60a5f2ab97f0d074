"""PyTorch checkpoints without PyTorch: both formats, every layout of a tensor, and files that mean harm."""

import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from torch_files import WRITERS, Build, Call, Global, Stored, View, write_legacy, write_zip

from abaw_tf.backbones.torch_checkpoint import read_torch_checkpoint

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@pytest.fixture(params=list(WRITERS))
def write(request, tmp_path):
    return lambda content, **options: WRITERS[request.param](tmp_path / "weights.pth", content, **options)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return OrderedDict((f"layer{i}.weight", rng.integers(0, 99, (2, 3 + i)).astype(t)) for i, t in enumerate(DTYPES))


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("big", [False, True])
def test_all_types_in_the_order_of_the_file(write, big):
    assert_equal(read_torch_checkpoint(write(arrays(), big=big)), arrays())


def test_a_state_dict_among_other_things(write):
    """What trainers add beside the weights: numbers, NumPy arrays, options, an optimizer; none of it is needed, nor in the way."""
    numpy_array = Build(
        Call(Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), "b")),
        (1, (2,), Call(Global("numpy", "dtype"), ("i8", 0, 1)), False, "0" * 16),
    )
    content = {
        "iteration": 7,
        "model": Build(arrays(), {"_metadata": OrderedDict({"": {"version": 1}})}),
        "sampler": {"queue": [numpy_array, numpy_array]},
        "args": Build(Call(Global("argparse", "Namespace"), ()), {"lr": 0.1}),
        "optimizer": {"state": {0: {"exp_avg": np.ones((3, 4), "f4")}}},
    }
    path = write(content)
    assert_equal(read_torch_checkpoint(path, key="model"), arrays())
    with pytest.raises(
        ValueError, match=r"tell with `key`.*Received: a dict of 'iteration' \(a value of type int\), 'model'"
    ):
        read_torch_checkpoint(path)
    with pytest.raises(
        ValueError, match=r"no entry 'net'.*Received: a dict of 'iteration'.*'args' \(an object of argparse"
    ):
        read_torch_checkpoint(path, key="net")
    with pytest.raises(ValueError, match="no state dict of tensors by name"):
        read_torch_checkpoint(path, key="sampler")


def test_numbers_between_the_tensors_are_left_out(write):
    content = {"epoch": 3, "name": "net", **arrays(), "best": 0.5, "nothing": None}
    assert_equal(read_torch_checkpoint(write(content)), arrays())


def test_layouts(write):
    """Several tensors in one storage: slices, transposes, a row repeated, a scalar, an empty one."""
    row = np.arange(24, dtype="f4")
    stored = Stored("5", row)
    views = {
        "plain": View(stored, 0, (4, 6), (6, 1)),
        "transposed": View(stored, 0, (6, 4), (1, 6)),
        "slice": View(stored, 7, (2, 2), (6, 2)),
        "repeated": View(stored, 20, (3, 4), (0, 1)),
        "scalar": View(stored, 23, (), ()),
        "empty": View(stored, 0, (0, 5), (5, 1)),
        "parameter": Call(
            Global("torch._utils", "_rebuild_parameter"), (View(stored, 1, (2,), (1,)), True, OrderedDict())
        ),
        "old": Call(Global("torch._utils", "_rebuild_tensor"), (stored, 2, (2,), (1,))),
        "sized": View(stored, 0, Call(Global("torch", "Size"), ((2, 3),)), (3, 1)),
    }
    matrix = row.reshape(4, 6)
    expected = {
        "plain": matrix,
        "transposed": matrix.T,
        "slice": matrix[1:3, 1:5:2],
        "repeated": np.tile(row[20:], (3, 1)),
        "scalar": row[23],
        "empty": np.zeros((0, 5), "f4"),
        "parameter": row[1:3],
        "old": row[2:4],
        "sized": row[:6].reshape(2, 3),
    }
    assert_equal(read_torch_checkpoint(write(views)), expected)


def test_parts_of_a_storage_in_the_legacy_format(tmp_path):
    row = np.arange(10, dtype="f8")
    content = {
        "whole": View(Stored("a", row), 0, (10,), (1,)),
        "part": View(Stored("a", row, part=("b", 4, 3)), 1, (2,), (1,)),
    }
    found = read_torch_checkpoint(write_legacy(tmp_path / "w.pth", content))
    assert_equal(found, {"whole": row, "part": row[5:7]})


# -- harm ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "check_output")],
)
def test_nothing_is_run(write, tmp_path, function):
    mark = tmp_path / "harmed"
    code = f"open({str(mark)!r}, 'w')" if function[0] == "builtins" else f"touch {mark}"
    harm = Call(Global(*function), (code,))
    assert_equal(read_torch_checkpoint(write({"model": arrays(), "harm": harm}), key="model"), arrays())
    for content in ({"w": np.ones(2, "f4"), "harm": harm}, harm, [harm]):
        with pytest.raises(ValueError, match=r"no state dict of tensors by name.*Received: "):
            read_torch_checkpoint(write(content))
    assert not mark.exists()


def test_python_itself_would_have_run_it(tmp_path):
    """The files of the test above are live: the standard unpickler calls what they name."""
    path = write_zip(
        tmp_path / "w.pth", Call(Global("builtins", "eval"), (f"open({str(tmp_path / 'm')!r}, 'w').close()",))
    )
    pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl"))
    assert (tmp_path / "m").exists()


def test_a_whole_network_is_named(write):
    network = Build(Call(Global("models.cnn", "Cnn14"), ()), {"training": True})
    with pytest.raises(
        ValueError, match=r"save only the network's state_dict\(\)\. Received: an object of models\.cnn\.Cnn14"
    ):
        read_torch_checkpoint(write(network))


def test_a_file_does_not_change_how_the_next_is_read(write):
    """A pickle may set attributes of the functions that it finds."""
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    poisoned = {"poison": Build(rebuild, ({}, {"__defaults__": (1, 2), "__kwdefaults__": {}})), "model": arrays()}
    assert_equal(read_torch_checkpoint(write(poisoned), key="model"), arrays())
    assert_equal(read_torch_checkpoint(write(arrays())), arrays())


ROW = np.arange(6, dtype="f4")


@pytest.mark.parametrize(
    "tensor",
    [
        View(Stored("0", ROW), 0, (7,), (1,)),
        View(Stored("0", ROW), 6, (1,), (1,)),
        View(Stored("0", ROW), 6, (), ()),
        View(Stored("0", ROW), 0, (2, 3), (4, 1)),
        View(Stored("0", ROW), -1, (1,), (1,)),
        View(Stored("0", ROW), 5, (3,), (-1,)),
        View(Stored("0", ROW), 0, (2,), (1, 1)),
        View(Stored("0", ROW), 0, (2.0,), (1,)),
        View(Stored("0", ROW, size=7), 0, (7,), (1,)),
        View(Stored("0", ROW, size=-3), 0, (2,), (1,)),
        Build(View(Stored("0", ROW), 0, (6,), (1,)), {"offset": 5}),
        Build(View(Stored("0", ROW), 0, (6,), (1,)), ({}, {"size": (10**9,)})),
        Call(Global("torch._utils", "_rebuild_tensor_v2"), ("0", 0, (1,), (1,), False, OrderedDict())),
    ],
)
def test_no_tensor_reaches_beyond_its_storage(write, tensor):
    with pytest.raises(ValueError, match=r"weights\.pth: cannot read the checkpoint; .*fetch it again\. Received: "):
        read_torch_checkpoint(write({"w": tensor}))


def test_an_unknown_type_of_numbers(write):
    content = {"w": View(Stored("0", np.zeros(2, "f4"), kind="BFloat16"), 0, (2,), (1,))}
    with pytest.raises(
        ValueError, match=r"weights\.pth: tensors of this type .*FloatStorage.*Received: BFloat16Storage"
    ):
        read_torch_checkpoint(write(content))


# -- damage -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_files_that_end_early(write, keep):
    path = write(arrays())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"weights\.pth: .*fetch it again\. Received: "):
        read_torch_checkpoint(path)


def test_damaged_files_are_refused_or_read_but_nothing_else_happens(write):
    """One byte in a file changed, anywhere: of the zip archive, which has checksums, no wrong number comes out."""
    path = write(arrays())
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    complaints = []
    for place in rng.choice(len(content), 400):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_torch_checkpoint(path)
        except ValueError as error:
            complaints.append(str(error))
        else:
            if content.startswith(b"PK"):
                assert_equal(found, arrays())
    assert len(complaints) > 50
    assert all("Received: " in complaint for complaint in complaints)


def test_checksums_are_checked(tmp_path):
    path = write_zip(tmp_path / "w.pth", {"w": np.full(100, 1.5, "f4")})
    content = path.read_bytes()
    path.write_bytes(content.replace(np.full(100, 1.5, "f4").tobytes(), np.full(100, 2.5, "f4").tobytes()))
    with pytest.raises(ValueError, match="fetch it again"):
        read_torch_checkpoint(path)


def test_a_storage_that_lacks(tmp_path):
    path = write_zip(tmp_path / "w.pth", {"w": np.ones(2, "f4")}, lacking=("0",))
    with pytest.raises(ValueError, match=r"w\.pth: .*fetch it again\. Received: KeyError"):
        read_torch_checkpoint(path)


def test_other_files(tmp_path):
    path = tmp_path / "w.pth"
    with pytest.raises(FileNotFoundError, match=r"w\.pth: no such weight file"):
        read_torch_checkpoint(path)
    for content in (b"", b"<!doctype html>", b"\x89HDF\r\n\x1a\n", pickle.dumps({"w": 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not a PyTorch checkpoint; .*Received: a file that begins with"):
            read_torch_checkpoint(path)
    write_zip(path, {}, root="other")
    with pytest.raises(ValueError, match="no state dict"):
        read_torch_checkpoint(path)
    write_zip(path, {"w": np.ones(2, "f4")}, files={"second/data.pkl": ""})
    with pytest.raises(ValueError, match=r"another zip archive\. Received: files archive/data\.pkl"):
        read_torch_checkpoint(path)
    write_legacy(path, arrays(), version=1000)
    with pytest.raises(ValueError, match=r"version of the format that is not known\. Received: 1000"):
        read_torch_checkpoint(path)
