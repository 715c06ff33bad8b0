"""Many inputs, two models, mistakes: lockstep equals one by one, records resume, pages stand alone."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from toys import MODELS, Counted, total

import blackbox as bb
from blackbox.cli import cli
from blackbox.clusters import cluster
from blackbox.evidence.subsets import write_comparison, write_profile
from blackbox.inputs import read_dataset
from blackbox.model import open_model
from blackbox.numerics import set_distances
from blackbox.searches.collection import SEARCHES
from blackbox.subsets import words

DIGITS = np.load(MODELS / "digits" / "digits.npy")
MOTIF = MODELS / "motif"


@pytest.fixture(scope="module")
def cnn():
    return open_model(MODELS / "digits" / "cnn.onnx", "cpu", {"threads": 1})


@pytest.fixture(scope="module")
def mlp():
    return open_model(MODELS / "digits" / "mlp.onnx", "cpu", {"threads": 1})


@pytest.mark.parametrize("search", SEARCHES)
def test_lockstep_finds_what_every_input_finds_alone(cnn, search):
    method = bb.Sis(search=search, max_subsets=2, budget=3000)
    found = bb.sis_profile(cnn, DIGITS[:12], method)
    for x, e in zip(DIGITS[:12], found.explanations, strict=True):
        alone = bb.explain(cnn, x, method)
        assert e.details["subsets"] == alone.details["subsets"]
        assert e.details["removal_order"] == alone.details["removal_order"]
        np.testing.assert_allclose(e.details["subset_scores"], alone.details["subset_scores"], rtol=1e-5)
        assert e.outcome is alone.outcome
        assert e.provenance["pooled"] is True


def test_lockstep_fills_passes_and_counts_rows_once(cnn):
    asked = Counted(lambda rows: cnn.predict({"image": rows})["logits"])
    model = open_model(asked, options={"shape": (1, 8, 8), "batch_size": 256})
    found = bb.sis_profile(model, DIGITS[:32], bb.Sis(search="backselect", max_subsets=1))
    assert found.rows == sum(e.rows for e in found.explanations) == asked.count
    assert found.rows < 32 * (1 + 64 * 65 / 2) * 0.7
    assert np.median([len(batch) for batch in asked.batches]) > 200


@pytest.mark.parametrize("limit", [1, 7, 64, 1000])
def test_answers_do_not_depend_on_how_passes_are_cut(limit):
    rng = np.random.default_rng(0)
    rows, a = rng.normal(size=(9, 10)) + 1, rng.normal(size=10)
    f = Counted(lambda r: np.tanh(r.astype(float) * a).sum(axis=1))
    model = open_model(f, options={"shape": (10,), "batch_size": limit})
    background = rng.normal(size=(3, 10))
    found = bb.sis_profile(model, rows, bb.Sis(threshold="60%"), background=background)
    whole = bb.sis_profile(
        open_model(f.f, options={"shape": (10,)}), rows, bb.Sis(threshold="60%"), background=background
    )
    assert [s.members for s in found.subsets] == [s.members for s in whole.subsets]
    assert max(map(len, f.batches)) <= limit


def test_one_input_that_fails_leaves_the_others_alone():
    def f(rows):
        return np.where((rows[:, 0] == 7) & (rows[:, 1] == 0), np.nan, rows.sum(axis=1))

    rows = np.array([[5.0, 1.0, 2.0], [7.0, 1.0, 2.0], [6.0, 3.0, 1.0]])
    found = bb.sis_profile(f, rows, bb.Sis(threshold=4))
    assert [e is None for e in found.explanations] == [False, True, False]
    assert "not a number" in found.failures[1]
    assert found.outcomes()["The explanation is complete."] == 2


def test_a_model_that_answers_no_input_is_its_own_error():
    with pytest.raises(bb.ModelError):
        bb.sis_profile(lambda r: r.sum(axis=1) * np.nan, np.ones((3, 2)))


def test_a_budget_of_rows_ends_a_profile_with_what_is_certified(mlp):
    found = bb.sis_profile(mlp, DIGITS[:20], bb.Sis(search="backselect"), budget=6000)
    assert found.rows <= 6000
    ended = [e for e in found.explanations if e and e.outcome is bb.Outcome.BUDGET_SPENT]
    assert ended
    for e in ended:
        assert all(score >= e.details["threshold"] for score in e.details["subset_scores"])


def test_a_quantile_is_taken_over_the_inputs(mlp):
    found = bb.sis_profile(mlp, DIGITS[:20], bb.Sis(threshold="q50"), target=4)
    scores = mlp.predict({"image": DIGITS[:20]})["probabilities"][:, 4]
    assert found.explanations[0].details["threshold"] == pytest.approx(np.quantile(scores, 0.5), rel=1e-5)


def test_records_are_written_one_by_one_and_resumed(tmp_path):
    f = Counted(total)
    rows = np.random.default_rng(0).uniform(1, 2, size=(70, 6))
    first = bb.sis_profile(f, rows, folder=tmp_path / "o")
    assert len(list((tmp_path / "o" / "records").iterdir())) == 70
    for k in (3, 65):
        (tmp_path / "o" / "records" / f"{k:05d}.json").unlink()
    (tmp_path / "o" / "records" / "00007.json").write_text("half a rec")
    before = f.count
    again = bb.sis_profile(f, rows, folder=tmp_path / "o")
    assert f.count - before < (before / 70) * 6
    assert [s.members for s in again.subsets] == [s.members for s in first.subsets]
    with pytest.raises(bb.RequestError, match="another question"):
        bb.sis_profile(f, rows, bb.Sis(threshold="80%"), folder=tmp_path / "o")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(bb.RequestError, match="holds other files"):
        bb.sis_profile(f, rows, folder=tmp_path / "mine")


def test_what_a_budget_cut_short_is_completed_by_the_next_run(tmp_path, mlp):
    method = bb.Sis(search="backselect")
    short = bb.sis_profile(mlp, DIGITS[:10], method, folder=tmp_path / "o", budget=3000)
    assert bb.Outcome.BUDGET_SPENT in {e.outcome for e in short.explanations if e}
    whole = bb.sis_profile(mlp, DIGITS[:10], method, folder=tmp_path / "o")
    fresh = bb.sis_profile(mlp, DIGITS[:10], method)
    assert whole.subsets == fresh.subsets


def test_a_comparison_leaves_the_files_of_others_alone(tmp_path, mlp):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(bb.RequestError, match="holds other files"):
        bb.compare(mlp, mlp, DIGITS[:2], folder=tmp_path)


def test_distances_by_hand():
    grid = np.argwhere(np.ones((2, 2))).astype(float)
    two = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]], dtype=bool)
    found = set_distances.energy(two, grid)
    assert found[0, 1] == pytest.approx(np.sqrt(2 * np.sqrt(2)))
    assert found[0, 2] == pytest.approx(np.sqrt(2 * 0.5 - 0 - 0.5))
    assert set_distances.jaccard(two)[0].tolist() == [0, 1, 0.5]
    lines = ["kitten", "sitting", "", "kitten"]
    apart = set_distances.edit([[ord(c) for c in line] for line in lines])
    assert apart.tolist() == [[0, 3, 6, 0], [3, 0, 7, 3], [6, 7, 0, 6], [0, 3, 6, 0]]


def test_the_energy_distance_of_large_pictures_is_the_same_without_the_table_of_all_pairs():
    rng = np.random.default_rng(0)
    masks = rng.random((7, 13, 21)) < 0.1
    masks[5], masks[6] = masks[4], False
    masks[6, 12, 0] = True
    positions = np.argwhere(np.ones((13, 21))).astype(float)
    expected = set_distances.energy(masks.reshape(7, -1), positions)
    np.testing.assert_allclose(set_distances.energy_in_picture(masks), expected, rtol=1e-9)
    assert expected[4, 5] == 0


def test_large_pictures_are_profiled_in_little_memory():
    rows = np.random.default_rng(0).random((2, 1, 224, 224), dtype=np.float32)
    method = bb.Sis(max_subsets=1, search="ranked")
    found = bb.sis_profile(lambda x: x[:, 0].sum(axis=(1, 2)), rows, method)
    assert found.distance == "energy"
    covered = [len(subset.members) * 256 for subset in found.subsets]  # 14 x 14 patches of 16 x 16 pixels
    assert min(covered) > 40_000  # the distances of all their pairs take 13 GB


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_things_are_clustered_without_fuss(count):
    found = cluster(np.zeros((count, count)))
    assert len(found.labels) == count


def test_the_scan_separates_what_is_separate():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 0.1, 30), rng.normal(5, 0.1, 20), [50.0]])
    found = cluster(np.abs(points[:, None] - points))
    assert len(found.clusters[0].members) >= 25
    assert found.labels[-1] == -1
    assert len({found.labels[0], found.labels[40]}) == 2


def test_the_planted_motif_is_recovered():
    with (MOTIF / "sequences.csv").open() as file:
        rows = list(csv.DictReader(file))
    positive = [k for k, row in enumerate(rows) if row["label"] == "motif"]
    found = bb.sis_profile(
        MOTIF / "motif.onnx",
        np.load(MOTIF / "sequences.npy")[positive],
        bb.Sis(threshold=0.9),
        "motif",
        features=np.arange(60)[:, None],
        background=np.load(MOTIF / "background.npy"),
        distance="edit",
    )
    recovered = []
    for k, e in zip(positive, found.explanations, strict=True):
        planted = set(range(int(rows[k]["start"]), int(rows[k]["start"]) + 7))
        members = set(e.details["subsets"][0])
        recovered.append(members <= planted and len(members) >= 5)
    assert np.mean(recovered) >= 0.95
    assert np.median([len(e.details["subsets"][0]) for e in found.explanations]) == 6
    medoid = found.subsets[found.clustering.clusters[0].medoid]
    assert set(words(medoid, found.cases[medoid.row])) <= set("TGAC·")


def test_two_models_are_pooled_cross_fed_and_told_apart(cnn, mlp):
    found = bb.compare(cnn, mlp, DIGITS, bb.Sis(threshold=0.7), target=4)
    assert found.scale == "probability"
    assert sum(s.a + s.b for s in found.shares) == sum(len(c.members) for c in found.clustering.clusters)
    assert any(s.of_a == 1 for s in found.shares)
    assert any(s.of_a == 0 for s in found.shares)
    assert found.a_to_b.count == len(found.a.subsets)
    # the CNN's subsets are asked of the MLP by hand
    subset = found.a.subsets[0]
    x = np.zeros((1, 1, 8, 8), dtype=np.float32)
    x.reshape(-1)[list(subset.members)] = DIGITS[subset.row].reshape(-1)[list(subset.members)]
    scores = []
    for s in found.a.subsets:
        row = np.zeros(64, dtype=np.float32)
        row[list(s.members)] = DIGITS[s.row].reshape(-1)[list(s.members)]
        scores.append(mlp.predict({"image": row.reshape(1, 1, 8, 8)})["probabilities"][0, 4])
    assert found.a_to_b.mean == pytest.approx(np.mean(scores), rel=1e-4)
    assert found.a_to_b.passing == pytest.approx(np.mean(np.array(scores) >= 0.7))
    differ = [m for m in found.meetings if m.said_a != m.said_b]
    assert found.meetings[: len(differ)] == tuple(differ)


def test_a_model_compared_with_itself_agrees_with_itself(mlp):
    found = bb.compare(mlp, mlp, DIGITS[:15], bb.Sis(threshold=0.7))
    assert found.a_to_b.passing == found.b_to_a.passing == 1.0
    assert found.agreeing == found.mean("overlap") == 1.0
    assert found.mean("correlation") == pytest.approx(1)


def test_models_of_different_inputs_are_not_compared(cnn):
    with pytest.raises(bb.RequestError, match="different inputs"):
        bb.compare(cnn, open_model(MODELS / "digits" / "cnn28.onnx", "cpu"), DIGITS[:2])


def test_a_mistake_shows_both_sides(cnn):
    data = read_dataset(MODELS / "digits" / "images", cnn.signature)
    found = bb.sis_profile(cnn, data, bb.Sis(threshold=0.7), scale="probability")
    mistakes = bb.misclassified(found, [name[0] for name in data.ids])
    told = [(found.ids[m.row], m.said, m.truth) for m in mistakes]
    assert told == [("5-0678", "4", "5"), ("8-1057", "9", "8")]
    for mistake in mistakes:
        for members, score, target in (
            (
                mistake.wrong.details["subsets"][0],
                mistake.wrong.details["subset_scores"][0],
                int(mistake.said),
            ),
            (mistake.right, mistake.right_score, int(mistake.truth)),
        ):
            row = np.zeros(64, dtype=np.float32)
            row[list(members)] = data.rows["image"][mistake.row].reshape(-1)[list(members)]
            logits = cnn.predict({"image": row.reshape(1, 1, 8, 8)})["logits"][0].astype(float)
            probability = np.exp(logits[target]) / np.exp(logits).sum()
            assert score == pytest.approx(probability, rel=1e-4)
            assert score >= mistake.threshold
    with pytest.raises(bb.RequestError, match="class of input"):
        bb.misclassified(found, ["ten"] * len(data))


HOSTILE = "<script>alert(1)</script>"


def test_pages_load_nothing_and_escape_what_is_not_theirs(tmp_path, cnn, mlp):
    data = read_dataset(MODELS / "digits" / "images", cnn.signature)
    named = bb.inputs.Dataset(tuple(f"{HOSTILE}{k}" for k in data.ids), data.rows, (), data.files, True)
    profile = bb.sis_profile(cnn, named, bb.Sis(threshold=0.7), scale="probability", folder=tmp_path / "p")
    mistakes = bb.misclassified(profile, [name[0] for name in data.ids])
    comparison = bb.compare(cnn, mlp, named, bb.Sis(threshold=0.7), folder=tmp_path / "c")
    for page in (
        write_profile(profile, mistakes, tmp_path / "p"),
        write_comparison(comparison, tmp_path / "c"),
    ):
        text = page.read_text()
        assert HOSTILE not in text
        assert "<script" not in text
        assert "default-src 'none'" in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert "data:image/png;base64," in text
    assert json.loads((tmp_path / "p" / "profile.json").read_text())["schema"] == "blackbox.sis-profile/1"
    numbers = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert numbers["cross_feed"]["a_to_b"]["count"] == len(comparison.a.subsets)


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


def test_the_commands_write_pages_and_numbers(tmp_path):
    digits = MODELS / "digits"
    done = run(
        "sis-profile",
        digits / "cnn.onnx",
        "--input",
        digits / "images",
        "--threshold",
        "0.7",
        "--scale",
        "probability",
        "--misclassified",
        digits / "images.csv",
        "-o",
        tmp_path / "p",
    )
    assert done.exit_code == 0, done.output
    assert "5-0678 (said 4, is 5)" in done.output
    assert (tmp_path / "p" / "report.html").is_file()
    done = run(
        "compare",
        digits / "cnn.onnx",
        digits / "mlp.onnx",
        "--input",
        digits / "digits.npy",
        "--target",
        "4",
        "--threshold",
        "0.7",
        "--first",
        "40",
        "-o",
        tmp_path / "c",
    )
    assert done.exit_code == 0, done.output
    assert "still pass" in done.output
    assert (tmp_path / "c" / "compare.json").is_file()


def test_tables_are_profiled_by_column_below_a_threshold(tmp_path):
    credit = MODELS / "credit"
    done = run(
        "sis-profile",
        credit / "credit.onnx",
        "--input",
        credit / "applicants.csv",
        "--target",
        "approved",
        "--below",
        "--threshold",
        "0.5",
        "--hide-with",
        "mean",
        "--background",
        credit / "background.csv",
        "-o",
        tmp_path / "p",
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "p" / "profile.json").read_text())
    assert found["distance"] == "jaccard"
    assert found["subsets"]
    assert all(s["score"] <= 0.5 for s in found["subsets"])


@pytest.mark.parametrize("how", ["zero", "mean", "blur:2", "rows", "0.5"])
def test_every_way_of_hiding_runs_from_the_command_line(tmp_path, how):
    digits = MODELS / "digits"
    done = run(
        "sis-profile",
        digits / "mlp.onnx",
        "--input",
        digits / "digits.npy",
        "--first",
        "4",
        "--hide-with",
        how,
        *(["--background", digits / "background.npy"] if how in ("mean", "rows") else []),
        "--set",
        "max_subsets=1",
        "-o",
        tmp_path / "p",
    )
    assert done.exit_code == 0, done.output


def test_wrong_words_are_told(tmp_path):
    digits = MODELS / "digits"
    common = ("sis-profile", digits / "mlp.onnx", "--input", digits / "digits.npy", "-o", tmp_path / "p")
    for extra, told in (
        (("--hide-with", "blurr"), "blurr"),
        (("--search", "exactly"), "exact"),
        (("--distance", "x"), "energy"),
        (("--threshold", "q9x"), "q90"),
        (("--misclassified", digits / "facts.json"), "json"),
    ):
        done = CliRunner().invoke(cli, [str(word) for word in (*common, *extra)])
        assert done.exit_code != 0
        assert told in done.output, done.output


def test_inputs_without_any_subset_are_no_cluster_at_any_radius():
    found = bb.sis_profile(lambda x: x.sum(axis=1), np.ones((2, 3)), bb.Sis(threshold=9), eps=1.0, min_samples=1)
    assert not found.subsets
    assert found.clustering.clusters == ()
