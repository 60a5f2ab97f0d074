"""The benchmark of audio features measures every way and prints the ratios."""

import json
import runpy


def test_audio_benchmark(project, tmp_path, capsys):
    main = runpy.run_path(str(project / "tools" / "benchmark.py"))["main"]
    out = tmp_path / "audio.json"
    assert main(["audio", "--frames", "8", "--seconds", "1", "--repeats", "1", "--json", str(out)]) == 0
    assert "audio features: graph / librosa, batches" in capsys.readouterr().out
    value = {result["what"]: result["value"] for result in json.loads(out.read_text())["results"]}
    ways = [f"audio features: {way}" for way in ("librosa, segment by segment", "librosa, batches", "graph, batches")]
    assert all(value[way] > 0 for way in ways)
    for other in ("librosa, segment by segment", "librosa, batches"):
        ratio = value["audio features: graph, batches"] / value[f"audio features: {other}"]
        assert abs(value[f"audio features: graph / {other}"] / ratio - 1) < 1e-9
