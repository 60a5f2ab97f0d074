"""The benchmark of the kernel ELM measures all machines and prints the ratios."""

import json
import runpy

import pytest

from abaw_tf.benchmarks import kernel_elm


def test_kernel_elm_benchmark(project, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kernel_elm, "SIZES", {"small": (210, 40), "medium": (220, 30)})
    monkeypatch.setattr(kernel_elm, "LARGEST_SVC", 215)
    main = runpy.run_path(str(project / "tools" / "benchmark.py"))["main"]
    out = tmp_path / "kernel_elm.json"
    options = ["--sizes", "small", "medium", "--kernels", "rbf", "--json", str(out)]
    assert main(["kernel_elm", *options]) == 0
    assert "210 × 40, rbf: SVC / KernelELM, fit" in capsys.readouterr().out
    value = {result["what"]: result["value"] for result in json.loads(out.read_text())["results"]}
    for label, names in (("210 × 40, rbf", ("KernelRidge", "SVC")), ("220 × 30, rbf", ("KernelRidge",))):
        assert value[f"{label}: largest difference of scores, KernelELM and KernelRidge"] < 1e-3
        own = value[f"{label}: KernelELM, fit"]
        for name in names:
            ratio = value[f"{label}: {name} / KernelELM, fit"]
            assert ratio == pytest.approx(value[f"{label}: {name}, fit"] / own)
            assert value[f"{label}: {name}, accuracy on new windows"] > 0.5
            assert value[f"{label}: {name} / KernelELM, memory"] > 0
    assert not [what for what in value if "220" in what and "SVC" in what]
