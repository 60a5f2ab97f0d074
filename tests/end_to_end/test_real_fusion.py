"""The studies of fusion on real material: votes of people, published networks on real faces."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from abaw_tf import predictions
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.studies import cremad_votes

CLIP = "1001_IEO_HAP_HI"


@pytest.fixture(scope="module")
def votes(realdata):
    return realdata / "votes_cremad"


class TestVotes:
    def test_counts_of_one_clip_in_the_three_presentations(self, votes):
        """Read by eye from tabulatedVotes.csv: rows 100004, 200004, 300004."""
        lines = {line.split(",")[0].strip('"'): line.split(",")[1:7] for line in (votes / "tabulatedVotes.csv").open()}
        for digit, presentation in enumerate(("voice", "face", "audiovisual"), start=1):
            letters = dict(zip("ADFHNS", map(int, lines[f"{digit}00004"])))
            row = cremad_votes.read_counts(votes, presentation).loc[CLIP]
            assert row.to_dict() == {name: letters[name[0]] for name in cremad_votes.CLASSES}
        assert cremad_votes.read_counts(votes, "voice").loc[CLIP].tolist() == [2, 2, 0, 0, 6, 0]

    def test_recognition_of_the_acted_expression_is_as_published(self, votes):
        """Cao et al. 2014 (abstract): 40.9, 58.2 and 63.6 % for sound, picture and both; the published files lack some ratings."""
        published = {"voice": 0.409, "face": 0.582, "audiovisual": 0.636}
        found = {}
        for presentation, share in published.items():
            counts = cremad_votes.read_counts(votes, presentation)
            assert len(counts) == 7442
            assert len(set(cremad_votes.actors(counts.index))) == 91
            values = counts.to_numpy()
            hits = values[np.arange(len(values)), cremad_votes.acted(counts.index)]
            found[presentation] = hits.sum() / values.sum()
            assert found[presentation] == pytest.approx(share, abs=0.01)
        assert found["voice"] < found["face"] < found["audiovisual"]

    def test_winners_and_ties_are_those_of_the_summary(self, votes):
        winners = cremad_votes.read_winners(votes).set_index("clip")
        summary = pd.read_csv(votes / "summaryTable.csv").set_index("FileName")["MultiModalVote"].loc[winners.index]
        tied = summary.str.contains(":")
        assert tied.sum() == 420
        assert (winners["expression"][tied] == -1).all()
        names = np.array(EXPRESSIONS_7)[winners["expression"][~tied]]
        assert (np.char.array([name[0] for name in names]) == summary[~tied].to_numpy(str)).all()

    def test_prediction_table_groups_by_actor(self, votes):
        table = predictions.validate(cremad_votes.read_votes(votes, "face"))
        assert table["trial"].nunique() == 91
        assert (table["p_Surprise"] == 0).all()
        counts = cremad_votes.read_counts(votes, "face")
        shares = counts.div(counts.sum(axis=1), axis=0)
        clips = cremad_votes.read_winners(votes).set_index(["trial", "frame"])["clip"]
        order = clips.loc[list(zip(table["trial"], table["frame"]))]
        for name in cremad_votes.CLASSES:
            np.testing.assert_allclose(table[f"p_{name}"], shares.loc[order, name])
        assert (order.str[:4].to_numpy() == table["trial"].to_numpy()).all()


class TestBrokenVotes:
    HEAD = '"","A","D","F","H","N","S","fileName"\n'
    SUMMARY = '"","FileName","VoiceVote","FaceVote","MultiModalVote"\n'

    def write(self, folder, rows, summary):
        (folder / "tabulatedVotes.csv").write_text(self.HEAD + rows)
        (folder / "summaryTable.csv").write_text(self.SUMMARY + summary)
        return folder

    def test_two_clips(self, tmp_path):
        rows = '"100001",1,0,0,0,3,0,"1002_IEO_NEU_XX"\n"100002",2,0,2,0,0,0,"1001_IEO_ANG_LO"\n'
        folder = self.write(tmp_path, rows, '1,1002_IEO_NEU_XX,N,A,A\n2,1001_IEO_ANG_LO,"A:F",A,A\n')
        counts = cremad_votes.read_counts(folder, "voice")
        assert counts.to_numpy().tolist() == [[0, 2, 0, 2, 0, 0], [3, 1, 0, 0, 0, 0]]
        assert cremad_votes.read_winners(folder, "voice")["expression"].tolist() == [-1, 0]
        table = cremad_votes.read_votes(folder, "voice")
        np.testing.assert_allclose(
            predictions.probabilities(table), [[0, 0.5, 0, 0.5, 0, 0, 0], [0.75, 0.25, 0, 0, 0, 0, 0]]
        )

    @pytest.mark.parametrize(
        ("rows", "summary", "message"),
        [
            ("100001,1,0,0,0,-3,0,1002_IEO_NEU_XX\n", "", r"tabulatedVotes\.csv, line 2: votes must be counts. Received: N=-3"),
            ("100001,1,0,0,0,1.5,0,1002_IEO_NEU_XX\n", "", "votes must be counts. Received: N=1.5"),
            ("100001,1,0,0,0,,0,1002_IEO_NEU_XX\n", "", "votes must be counts. Received: N=nan"),
            ("100001,0,0,0,0,0,0,1002_IEO_NEU_XX\n", "", "no vote. Received: fileName=1002_IEO_NEU_XX"),
            ("100001,1,0,0,0,0,0,1002_IEO_NEU_XX\n" * 2, "", "line 3: a clip occurs twice among the votes on voice"),
            ("400001,1,0,0,0,0,0,1002_IEO_NEU_XX\n", "", "must begin with 1"),
            ("100001,1,0,0,0,0,0,clip1\n", "", "form 1001_IEO_NEU_XX. Received: fileName=clip1"),
            ("100001,1,0,0,0,0,0,1002_IEO_NEU_XX\n", "1,1002_IEO_NEU_XX,N,A,A\n", "Received: A from the votes, N in the summary"),
            ("100001,1,0,0,0,0,0,1002_IEO_NEU_XX\n", "1,1009_IEO_NEU_XX,A,A,A\n", "Received: A from the votes, nan in the"),
        ],
    )  # fmt: skip
    def test_faults_name_file_and_row(self, tmp_path, rows, summary, message):
        with pytest.raises(ValueError, match=message):
            cremad_votes.read_counts(self.write(tmp_path, rows, summary), "voice")

    def test_missing_files_and_columns(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"tabulatedVotes\.csv: no such file"):
            cremad_votes.read_counts(tmp_path, "voice")
        (tmp_path / "tabulatedVotes.csv").write_text("a,b\n1,2\n")
        with pytest.raises(ValueError, match=r"has no column 'fileName'. Received: columns a, b"):
            cremad_votes.read_counts(tmp_path, "voice")
        (tmp_path / "tabulatedVotes.csv").write_text("")
        with pytest.raises(ValueError, match="not a readable CSV"):
            cremad_votes.read_counts(tmp_path, "voice")
        with pytest.raises(ValueError, match="Received: presentation='sound'"):
            cremad_votes.read_counts(tmp_path, "sound")


class TestFaceApi:
    @pytest.fixture
    def folder(self, realdata):
        return realdata / "models/faceapi_expression"

    def test_quantised_weights(self, tmp_path):
        entries = [
            {"name": "a", "shape": [2, 1], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
            {"name": "b", "shape": [1], "dtype": "float32"},
            {"name": "c", "shape": [], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 2.0, "min": 1.0}},
        ]  # fmt: skip
        manifest = tmp_path / "w.json"
        manifest.write_text(json.dumps([{"paths": ["one", "two"], "weights": entries}]))
        (tmp_path / "one").write_bytes(bytes([0, 255]) + np.float32(1.25).tobytes()[:2])
        (tmp_path / "two").write_bytes(np.float32(1.25).tobytes()[2:] + np.uint16(300).tobytes())
        from abaw_tf.studies.faceapi import read_tfjs_weights

        weights = read_tfjs_weights(manifest)
        assert weights["a"].tolist() == [[-1.0], [126.5]]
        assert weights["b"].tolist() == [1.25]
        assert weights["c"] == 601.0
        (tmp_path / "two").write_bytes(b"")
        with pytest.raises(ValueError, match=r"end within b. Received: 4 bytes"):
            read_tfjs_weights(manifest)
        (tmp_path / "two").write_bytes(bytes(9))
        with pytest.raises(ValueError, match="hold more than it lists"):
            read_tfjs_weights(manifest)

    def test_the_network_is_the_published_graph(self, folder):
        """Against the graph written out in NumPy."""
        from abaw_tf.studies.faceapi import MANIFEST, MEAN, build_faceapi_expression, preprocess, read_tfjs_weights

        w = read_tfjs_weights(folder / MANIFEST)
        relu = lambda x: np.maximum(x, 0)  # noqa: E731

        def windows(x, stride):
            before = 1 if stride == 1 else 0
            return sliding_window_view(np.pad(x, ((before, 1), (before, 1), (0, 0))), (3, 3), axis=(0, 1))[
                ::stride, ::stride
            ]

        def separable(x, name, stride):
            deep = np.einsum("hwcij,ijc->hwc", windows(x, stride), w[f"{name}/depthwise_filter"][..., 0])
            return deep @ w[f"{name}/pointwise_filter"][0, 0] + w[f"{name}/bias"]

        face = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
        x = (face - np.array(MEAN)) / 255
        for block in range(4):
            name = f"dense{block}"
            if block == 0:
                first = np.einsum("hwcij,ijcf->hwf", windows(x, 2), w["dense0/conv0/filters"]) + w["dense0/conv0/bias"]
            else:
                first = separable(x, f"{name}/conv0", 2)
            outs = [relu(first)]
            outs.append(separable(outs[0], f"{name}/conv1", 1))
            outs.append(separable(relu(outs[0] + outs[1]), f"{name}/conv2", 1))
            outs.append(separable(relu(sum(outs)), f"{name}/conv3", 1))
            x = relu(sum(outs))
        assert x.shape == (7, 7, 256)
        logits = x.mean(axis=(0, 1)) @ w["fc/weights"] + w["fc/bias"]
        expected = np.exp(logits - logits.max())
        model = build_faceapi_expression(folder)
        np.testing.assert_allclose(
            np.asarray(model(preprocess(face[None])))[0], expected / expected.sum(), rtol=1e-3, atol=1e-6
        )
        assert model.count_params() == sum(values.size for values in w.values())


@pytest.fixture(scope="module")
def result(realdata):
    from abaw_tf.studies import run_study

    return run_study("fusion_votes", realdata, draws=200, bootstrap=200)


class TestVotesStudy:
    def test_fixed_rows_are_scikit_learns(self, result, votes):
        from sklearn.metrics import accuracy_score, f1_score

        summary = pd.read_csv(votes / "summaryTable.csv")
        known = ~summary["MultiModalVote"].str.contains(":")
        truth = summary["MultiModalVote"][known]
        for name, column in (("voice", "VoiceVote"), ("face", "FaceVote")):
            # A tie falls to the first class in the official order.
            winner = summary[column][known].map(lambda letters: min(letters.split(":"), key="NADFHS".index))
            assert result.table.loc[name, "held_out"] == pytest.approx(
                f1_score(truth, winner, average="macro"), abs=1e-12
            )
            assert result.table.loc[name, "accuracy"] == pytest.approx(accuracy_score(truth, winner), abs=1e-12)
        assert result.table.loc["most frequent class", "accuracy"] == pytest.approx((truth == "N").mean(), abs=1e-12)

    def test_people_use_both_face_and_voice(self, result):
        table = result.table
        assert table.loc["voice", "held_out"] < table.loc["face", "held_out"] < table.loc["SWF", "held_out"]
        assert (table.loc[["SWF", "MCWF", "SWF, logits", "MCWF, logits"], "gain_low"] > 0).all()
        assert (table["low"] < table["held_out"]).all()
        assert (table["held_out"] < table["high"]).all()
        # Searched on all actors, scored on the same: never worse than what the search starts from.
        for name, starts in (("SWF", ["voice", "face", "equal weights"]), ("MCWF, logits", ["equal weights, logits"])):
            assert (table.loc[name, "search_set"] >= table.loc[starts, "search_set"]).all()
        print("\n" + result.format())

    def test_what_is_said_and_drawn(self, result):
        text = "\n".join(result.notes)
        assert "7,442 clips of 91 actors; 420" in text
        assert "best on the other folds (face in 10)" in text
        assert {ax.get_title(loc="left") for ax in result.figure.axes} >= {"Macro F1", "MCWF weights from all actors"}
        assert plt.get_fignums() == []


@pytest.fixture(scope="module")
def tables(realdata):
    from abaw_tf.studies.network_predictions import predict_networks

    clips = ["video_grid/bbaf2n.mpg", "video_pyfeat/single_face.mp4", "video_pyfeat/no_face.mp4"]
    return predict_networks(realdata, clips, stride=6)


class TestNetworks:
    def test_every_network_sees_the_same_frames(self, tables):
        first, *others = tables.values()
        for table in others:
            pd.testing.assert_frame_equal(table[["trial", "frame", "time"]], first[["trial", "frame", "time"]])
        assert set(first["trial"]) == {"bbaf2n", "single_face"}
        assert first.groupby("trial").size().between(60, 75).all()

    @pytest.mark.parametrize("network", ["mini-XCEPTION", "big-XCEPTION", "face-api"])
    def test_expressions_are_those_that_the_faces_show(self, tables, network):
        """The man is serious, then grins; the speaker reads a sentence."""
        happy = tables[network].set_index(["trial", "frame"])["p_Happiness"]
        assert happy["single_face"].loc[:10].mean() < 0.3
        assert happy["single_face"].loc[28:60].mean() > 0.8
        names = np.array(EXPRESSIONS_7)[tables[network]["expression"]]
        assert (names[tables[network]["trial"] == "bbaf2n"] == "Neutral").mean() > 0.5

    def test_the_study_of_few_clips(self, tables):
        from abaw_tf.studies import networks

        result = networks.run(None, draws=50, bootstrap=20, tables=tables)
        table = result.table
        decided = {name: one["expression"].to_numpy() for name, one in tables.items()}
        for against, method in table.index:
            if method in decided:
                agreement = (decided[against] == decided[method]).mean()
                assert table.loc[(against, method), "held_out"] == pytest.approx(agreement, abs=1e-12)
        assert table.loc[("–", "all three, equal weights"), "entropy_bits"] > 0
        assert (table["switches_per_second"] >= 0).all()
        assert any("no clip has labels" in note for note in result.notes)

    @pytest.mark.slow
    @pytest.mark.study
    def test_the_whole_study(self, realdata):
        from abaw_tf.studies import run_study

        result = run_study("fusion_networks", realdata, draws=200, bootstrap=200)
        print("\n" + result.format())
        singles = result.table.loc[
            [("face-api", "mini-XCEPTION"), ("face-api", "big-XCEPTION"), ("big-XCEPTION", "face-api")]
        ]
        fused = result.table.loc[("–", "all three, equal weights")]
        assert fused["switches_per_second"] < singles["switches_per_second"].min()
        assert singles["held_out"].between(0.75, 0.95).all()


def test_the_manifest_of_the_material_is_needed(tmp_path, monkeypatch):
    from abaw_tf.studies import realdata_folder, run_study

    monkeypatch.delenv("ABAW_TF_REALDATA", raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"--realdata or in the environment variable ABAW_TF_REALDATA. Received: neither"
    ):
        realdata_folder()
    with pytest.raises(FileNotFoundError, match=r"no MANIFEST\.md there"):
        run_study("fusion_votes", tmp_path)
    (tmp_path / "MANIFEST.md").touch()
    monkeypatch.setenv("ABAW_TF_REALDATA", str(tmp_path))
    assert realdata_folder() == tmp_path
    with pytest.raises(FileNotFoundError, match=r"tabulatedVotes\.csv: no such file"):
        run_study("fusion_votes")
    with pytest.raises(FileNotFoundError, match=r"bbaf2n\.mpg: no such video"):
        run_study("fusion_networks")
    with pytest.raises(ValueError, match="study must be one of fusion_votes"):
        run_study("fusion")
    with pytest.raises(ValueError, match="Received: draws=-1, bootstrap=10"):
        run_study("fusion_votes", draws=-1, bootstrap=10)
