"""The benchmark of the kernel ELM measures all machines and prints the ratios."""

import contextlib
import io
import json
import runpy

import pytest

from abaw_tf.benchmarks import kernel_elm
from abaw_tf.benchmarks.processes import in_a_process


@pytest.fixture
def _few_processes(monkeypatch):
    """Only what may be stopped is measured in a process of its own; each takes two seconds to import scikit-learn."""

    def measured(module, *arguments):
        *_, limit = arguments
        if limit is not None:
            return in_a_process(module, *arguments)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            kernel_elm._main(*arguments)
        return json.loads(printed.getvalue().splitlines()[-1])

    monkeypatch.setattr(kernel_elm, "in_a_process", measured)


@pytest.mark.usefixtures("_few_processes")
def test_kernel_elm_benchmark(project, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kernel_elm, "SIZES", {"small": (210, 40), "medium": (220, 30)})
    monkeypatch.setattr(kernel_elm, "LARGEST_SVC", 215)
    main = runpy.run_path(str(project / "tools" / "benchmark.py"))["main"]
    out = tmp_path / "kernel_elm.json"
    options = ["--sizes", "small", "medium", "--kernels", "rbf", "--json", str(out)]
    assert main(["kernel_elm", *options]) == 0
    assert "210 × 40, rbf: SVC / KernelELM, fit" in capsys.readouterr().out
    value = {result["what"]: result["value"] for result in json.loads(out.read_text())["results"]}
    for label, names in (("210 × 40, rbf", ("KernelRidge", "SVC")), ("220 × 30, rbf", ("KernelRidge", "SVC"))):
        assert value[f"{label}: largest difference of scores, KernelELM and KernelRidge"] < 1e-3
        own = value[f"{label}: KernelELM, fit"]
        for name in names:
            ratio = value[f"{label}: {name} / KernelELM, fit"]
            assert ratio == pytest.approx(value[f"{label}: {name}, fit"] / own)
            assert value[f"{label}: {name}, accuracy on new windows"] > 0.5
            assert value[f"{label}: {name} / KernelELM, memory"] > 0


@pytest.mark.usefixtures("_few_processes")
def test_a_large_svc_is_stopped_and_its_time_a_lower_bound(monkeypatch):
    monkeypatch.setattr(kernel_elm, "SIZES", {"small": (2000, 400)})
    monkeypatch.setattr(kernel_elm, "LARGEST_SVC", 1999)
    monkeypatch.setattr(kernel_elm, "SVC_SECONDS", 0.05)
    monkeypatch.setattr(kernel_elm, "SVC_FITS", 0)
    results = kernel_elm.benchmark_kernel_elm(["small"], ["rbf"])
    value = {result.what: result.value for result in results}
    assert value["2,000 × 400, rbf: SVC, fit >"] == 0.05
    ratio = value["2,000 × 400, rbf: SVC / KernelELM, fit >"]
    assert ratio == 0.05 / value["2,000 × 400, rbf: KernelELM, fit"]
    assert [what for what in value if "SVC" in what] == [what for what in value if what.endswith(">")]
    assert "2,000 × 400, rbf: KernelRidge / KernelELM, memory" in value


def test_a_large_svc_may_take_ten_times_as_long_as_the_kernel_elm(monkeypatch):
    limits = []

    def measured(module, name, n, dim, kernel, C, limit):
        limits.append((name, n, limit))
        return {"fit": n / 1000, "predict": 1.0, "peak": 1.0, "accuracy": 1.0, "scores": [0.0]}

    monkeypatch.setattr(kernel_elm, "in_a_process", measured)
    monkeypatch.setattr(kernel_elm, "SIZES", {"a": (10_000, 8), "b": (10_001, 8), "c": (5_000, 8)})
    monkeypatch.setattr(kernel_elm, "LARGEST_SVC", 8_000)
    kernel_elm.benchmark_kernel_elm("abc", ["rbf"])
    svc = [(n, limit) for name, n, limit in limits if name == "SVC"]
    assert svc == [(10_000, 100), (10_001, pytest.approx(100.01)), (5_000, None)]
    assert {limit for name, _, limit in limits if name != "SVC"} == {None}
    limits.clear()
    monkeypatch.setattr(kernel_elm, "SIZES", {"a": (1_000, 8)})
    monkeypatch.setattr(kernel_elm, "LARGEST_SVC", 0)
    kernel_elm.benchmark_kernel_elm("a", ["rbf"])
    assert limits[-1] == ("SVC", 1_000, 60)
