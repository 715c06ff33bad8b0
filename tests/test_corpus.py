"""Every signature of the corpus is explained by every method that applies, or refused in one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus.table import ENTRIES, ROW, ROWS

import blackbox as bb
from blackbox.errors import BlackboxError, ModelError, RequestError

HERE = Path(__file__).parent / "corpus"
SMALL = {
    "lime": bb.Lime(samples=60), "kernelshap": bb.KernelShap(budget=None, estimator="kernel"),
    "rise": bb.METHODS["rise"](masks=40, cells=3), "smoothgrad": bb.METHODS["smoothgrad"](samples=3),
    "integrated-gradients": bb.METHODS["integrated-gradients"](points=4),
}  # fmt: skip


def opened(file, options=None, **more):
    return bb.open_model(HERE / f"{file}.onnx", "cpu", {"threads": 1, **(options or {}), **more})


def one_sentence_that_helps(error):
    """No stack, no line break, and more than the bare fact."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 700
    assert text.endswith((".", ")"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.file} {e.about}")
def test_every_file_is_explained_or_refused_in_one_sentence(entry):
    everywhere = entry.refused.get("*")

    def ask(name):
        return bb.explain(opened(entry.file, entry.options), entry.x, SMALL.get(name, name), background=entry.background)

    for name in bb.METHODS:
        if expected := everywhere or entry.refused.get(name):
            with pytest.raises(BlackboxError, match=expected) as caught:
                ask(name)
            one_sentence_that_helps(caught.value)
        else:
            check(ask(name), entry)


def check(found, entry):
    assert found.provenance["output_kind"] == entry.kind
    assert found.rows > 0
    if found.method == "kernelshap":
        total = found.values.sum() + found.base_values
        np.testing.assert_allclose(total, found.full_values, atol=1e-6 * max(1, abs(float(found.full_values))))
    if found.outcome in (bb.Outcome.FLAT, bb.Outcome.NO_SUBSET, bb.Outcome.UNINFORMATIVE):
        return
    if found.method != "sis":
        assert np.isfinite(found.values).all()


def test_every_file_of_the_corpus_stands_in_the_table():
    files = {path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.onnx") if "hostile" not in path.parts}
    assert files == {entry.file for entry in ENTRIES}


ANSWERED = [entry for entry in ENTRIES if "*" not in entry.refused]


@pytest.mark.parametrize("entry", ANSWERED, ids=lambda e: f"{e.file} {e.about}")
def test_hiding_in_the_graph_gives_what_filled_rows_give(entry):
    """Where it is possible; where not, the record says so and the answers are the same ones."""
    found = [
        bb.explain(opened(entry.file, entry.options, fuse=fuse), entry.x, SMALL["kernelshap"], background=entry.background)
        for fuse in (True, False)
    ]
    size = max(1.0, float(np.abs(found[1].values).max()))
    np.testing.assert_allclose(found[0].values, found[1].values, atol=2e-6 * size)
    assert found[0].rows == found[1].rows
    assert found[0].provenance["hiding"].startswith(("in the graph", "rows filled by NumPy"))


def test_most_of_the_corpus_can_be_hidden_in_the_graph():
    fused = [
        entry.file for entry in ANSWERED
        if bb.explain(opened(entry.file, entry.options, fuse=True), entry.x, "occlusion", background=entry.background)
        .provenance["hiding"] == "in the graph"
    ]  # fmt: skip
    assert len(fused) >= 20, fused


def test_batches_are_padded_and_cut_without_a_trace():
    one, three = (bb.explain(opened(f"graphs/fixed-batch-{n}"), ROW, "kernelshap", background=ROWS) for n in (1, 3))
    free = bb.explain(opened("graphs/external"), ROW, "kernelshap", background=ROWS)
    np.testing.assert_allclose(one.values, three.values, atol=1e-7)
    np.testing.assert_allclose(one.values, free.values, atol=1e-6)  # the same weights
    assert one.rows == three.rows == free.rows


def test_bfloat16_is_rounded_once_and_refused_where_it_overflows():
    model, plain = opened("graphs/bfloat16"), opened("graphs/float16")
    a, b = (bb.explain(m, ROW, "kernelshap", background=ROWS, target=0) for m in (model, plain))
    np.testing.assert_allclose(a.values, b.values, atol=2**-7)
    assert model.signature.inputs[0].dtype == "bfloat16"
    assert bb.explain(model, [1.001, 0, 0, 0], "occlusion", target=0).data[0] == 1.0
    with pytest.raises(RequestError, match="bfloat16, which cannot hold"):
        bb.explain(model, [3.4e38, 0, 0, 0])


@pytest.mark.parametrize(
    ("file", "x", "told"),
    [("graphs/float16", [1e6, 0, 0, 0], "cannot hold 1000000"), ("graphs/tokens", {"ids": [1.5], "mask": [1]}, "cannot hold 1.5"),
     ("graphs/uint8-nhwc", np.full((8, 8, 3), 256), "cannot hold 256"), ("graphs/uint8-nhwc", np.full((8, 8, 3), -1), "cannot hold -1"),
     ("graphs/double", [None, 0, 0, 0], "finite"), ("graphs/double", ["a", 0, 0, 0], "needs numbers"),
     ("exports/sklearn-text", [None], "needs text; None"), ("exports/sklearn-text", [1.5], "needs text; 1.5"),
     ("exports/sklearn-mixed-columns", {"income": [1], "years": [2], "colour": [None]}, "needs text; None")],
)  # fmt: skip
def test_what_would_be_lost_in_the_models_type_is_refused(file, x, told):
    with pytest.raises(RequestError, match=told):
        bb.explain(opened(file), x)


def test_rounding_to_a_shorter_float_is_no_loss():
    assert bb.explain(opened("graphs/external"), [0.1, 1 / 3, 1e-40, 1e10], "occlusion").rows > 0


def test_no_rows_are_no_explanations():
    assert list(bb.explain_many(opened("graphs/external"), np.zeros((0, 4)))) == []


def test_an_embedding_is_compared_with_the_inputs_own():
    model = opened("graphs/embedding", kind="embedding")
    found = bb.explain(model, ROW, "kernelshap", background=ROWS)
    assert found.output_names == ("similarity",)
    assert found.full_values == pytest.approx(1)
    own, hidden = (model.predict({"x": np.array(r, np.float32)})["y"].astype(float) for r in ([ROW], ROWS))
    cosine = hidden @ own[0] / np.linalg.norm(hidden, axis=1) / np.linalg.norm(own)
    assert float(found.base_values) == pytest.approx(cosine.mean(), abs=1e-6)
    for target in ("0", 1, "y"):
        with pytest.raises(RequestError, match="its one target is 'similarity'"):
            bb.explain(model, ROW, "occlusion", target=target)


def test_embeddings_searched_together_keep_their_own_reference():
    model = opened("graphs/embedding", kind="embedding")
    rows = np.random.default_rng(2).normal(size=(6, 4))
    profile = bb.sis_profile(model, rows, bb.Sis(threshold=0.9))
    for row, together in zip(rows, profile.explanations, strict=True):
        alone = bb.explain(model, row, bb.Sis(threshold=0.9))
        assert together.full_values == alone.full_values == pytest.approx(1)
        np.testing.assert_array_equal(together.values, alone.values)


def test_decision_values_are_no_probabilities_and_are_not_made_into_any():
    model = opened("exports/sklearn-decisions")
    with pytest.raises(RequestError, match="holds decision values; declare its kind"):
        bb.explain(model, ROW, "occlusion", scale="probability")
    declared = opened("exports/sklearn-decisions", kind="logits")
    assert bb.explain(declared, ROW, "occlusion", scale="probability").rows > 0


def test_constants_are_recorded_and_change_the_answer():
    slow, fast = (opened("graphs/state-and-rate", {"constants": {"rate": rate, "state": 0}}) for rate in (8000, 16000))
    assert slow.identity.facts["constants"]["rate"]["value"] == [8000]
    assert bb.explain(slow, ROW, "occlusion", target=0).full_values != bb.explain(fast, ROW, "occlusion", target=0).full_values


def test_a_state_from_a_file_is_repeated_for_every_row(tmp_path):
    np.save(tmp_path / "state.npy", np.arange(6.0).reshape(2, 1, 3))
    held = {"rate": 16000, "state": str(tmp_path / "state.npy")}
    model = opened("graphs/state-and-rate", {"constants": held})
    rows = {"x": np.array([ROW] * 5, np.float32)}
    assert np.ptp(model.predict(rows)["y"], axis=0).max() < 1e-6
    np.save(tmp_path / "state.npy", np.zeros((1, 3)))
    with pytest.raises(RequestError, match=r"has shape \(1, 3\); the model declares"):
        opened("graphs/state-and-rate", {"constants": held})
    with pytest.raises(RequestError, match="cannot be read from"):
        opened("graphs/state-and-rate", {"constants": {**held, "state": str(tmp_path / "none.npy")}})


@pytest.mark.parametrize(
    ("constants", "told"),
    [({"rat": 1}, "Did you mean 'rate'"), ({"rate": 1.5, "state": 0}, "int64, which cannot hold 1.5"),
     ({"rate": 1, "state": 0, "x": 0}, "give an .npy file")],
)  # fmt: skip
def test_constants_that_do_not_fit_are_refused(constants, told):
    with pytest.raises(RequestError, match=told):
        opened("graphs/state-and-rate", {"constants": constants})


def test_a_model_whose_every_input_is_held_leaves_nothing_to_explain():
    with pytest.raises(RequestError, match="nothing to explain"):
        opened("graphs/external", {"constants": {"x": [ROW]}})


def test_perturbed_bytes_are_rounded_not_cut():
    model = opened("graphs/uint8-nhwc")
    game = bb.api.case(model, np.full((8, 8, 3), 10), background=np.full((1, 8, 8, 3), 11)).game(None, "raw")
    nearer, exact = np.full((1, 8, 8), 0.4), np.zeros((1, 8, 8))  # 10.6 becomes 11, as where all is hidden
    assert np.array_equal(*game.blend([nearer, exact]))


def test_external_weights_are_hashed_and_needed(tmp_path):
    assert set(opened("graphs/external").identity.sha256) == {"external.onnx", "external.onnx.data"}
    shutil.copy(HERE / "graphs" / "external.onnx", tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"external\.onnx\.data"):
        bb.open_model(tmp_path / "m.onnx")
