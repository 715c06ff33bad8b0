"""The searches of SIS: certificates, costs, directions, thresholds, budgets, and every kind of feature."""

from itertools import combinations

import numpy as np
import pytest
from toys import MODELS, Counted, l2norm, total

import blackbox as bb
from blackbox.api import case
from blackbox.backgrounds import blur, filled
from blackbox.features import from_labels, patches, superpixels
from blackbox.inputs import read_dataset
from blackbox.model import open_model
from blackbox.score import Ledger
from blackbox.searches.batched import BLOCKS, by_batches
from blackbox.searches.collection import SEARCHES
from blackbox.searches.greedy import ranked
from blackbox.searches.steps import CELLS, Group, sweep

DIGITS = np.loadtxt(MODELS / "digits" / "digits.csv", delimiter=",", skiprows=1, dtype=np.float32)[:, :64]
DIGITS = DIGITS.reshape(-1, 1, 8, 8)


def tangled(seed, d=12):
    """A function of d features with interactions of every sign, and an input with f(x) > 0 = f(0)."""
    rng = np.random.default_rng(seed)
    a, w = rng.normal(size=(d, d)) / 2, rng.normal(size=d) + 0.7

    def f(rows):
        rows = rows.astype(float)
        return ((rows[:, :, None] * a).sum(axis=1) * rows).sum(axis=1) / d + (rows * w).sum(axis=1)

    return f, np.ones(d)


def alone(f, x, members):
    rows = np.zeros((1, len(x)))
    rows[0, list(members)] = x[list(members)]
    return float(f(rows)[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("search", SEARCHES)
def test_every_subset_of_every_search_carries_a_true_certificate(search, seed):
    f, x = tangled(seed, 24)
    found = bb.explain(f, x, bb.Sis(search=search, threshold="60%"))
    details = found.details
    assert details["subsets"]
    for members, score, certificate in zip(
        details["subsets"], details["subset_scores"], details["certificates"], strict=True
    ):
        assert score == certificate["score"] == pytest.approx(alone(f, x, members))
        assert score >= details["threshold"]
        left_out = [alone(f, x, [m for m in members if m != out]) for out in members]
        assert certificate["left_out"] == pytest.approx(left_out)
        assert certificate["irreducible"] is True
        assert max(left_out) < details["threshold"]
    everyone = [feature for members in details["subsets"] for feature in members]
    assert len(everyone) == len(set(everyone))
    assert bb.Explanation.from_json(found.to_json()).details["certificates"] == details["certificates"]


@pytest.mark.parametrize("seed", range(6))
def test_exact_finds_the_smallest_and_says_so(seed):
    f, x = tangled(seed)
    found = bb.explain(f, x, bb.Sis(search="exact", threshold="70%", max_subsets=1))
    size = len(found.details["subsets"][0])
    threshold = found.details["threshold"]
    for smaller in range(1, size):
        assert all(alone(f, x, s) < threshold for s in combinations(range(12), smaller))
    assert found.details["size_lower_bound"] == size
    assert found.details["certificates"][0]["minimal"] is True


def test_exact_beyond_its_budget_reports_what_was_proven():
    weights = np.ones(40)
    found = bb.explain(lambda r: r.sum(axis=1), weights, bb.Sis(search="exact", threshold=12, max_subsets=1))
    assert len(found.details["subsets"][0]) == 12
    # 40 + 780 + 9,880 + 91,390 sets fit into 2^20 masks, another 658,008 too, 3,838,380 do not
    assert found.details["size_lower_bound"] == 6
    assert found.details["certificates"][0] == (
        {"score": 12.0, "left_out": [11.0] * 12, "irreducible": True, "bound": 6, "minimal": False}
    )


def test_irreducible_is_not_called_minimal():
    # {0} is worth 3 alone; 1 and 2 are worth 5 together and nothing alone
    def f(rows):
        return 3.0 * rows[:, 0] + 2.0 * rows[:, 3] + 5.0 * rows[:, 1] * rows[:, 2]

    found = bb.explain(f, np.ones(4), bb.Sis(search="greedy", threshold=5))
    assert found.details["subsets"][0] == [0, 3]
    certificate = found.details["certificates"][0]
    assert certificate["irreducible"]
    assert certificate["minimal"]  # two members, and no single feature suffices
    triple = bb.explain(l2norm, [1.0, 1.0, 1.0, 0.5], bb.Sis(search="greedy", threshold=1.7))
    assert len(triple.details["subsets"][0]) == 3
    assert triple.details["size_lower_bound"] == 2
    assert not triple.details["certificates"][0]["minimal"]


@pytest.mark.parametrize("search", SEARCHES)
def test_features_equal_to_the_background_cost_no_pass_and_are_in_no_subset(search):
    f = Counted(l2norm)
    x = np.zeros(30)
    x[[3, 8, 20]] = [1.0, 5.0, 3.0]
    found = bb.explain(f, x, bb.Sis(search=search, threshold=5.5))
    assert found.details["subsets"] == [sorted([8, 20], key=found.details["subsets"][0].index)]
    assert f.count == found.rows <= 8  # every set of three features, at the most


@pytest.mark.parametrize("search", SEARCHES)
def test_below_finds_what_suffices_for_a_low_score(search):
    x = np.array([1.0, -4.0, 2.0, -3.0, 0.5])
    found = bb.explain(total, x, bb.Sis(search=search, threshold=-3, direction="below"))
    assert found.details["subsets"] == [[1]]
    assert found.details["subset_scores"] == [-4.0]
    assert found.details["certificates"][0]["left_out"] == [0.0]
    assert found.outcome is bb.Outcome.DONE


def test_below_takes_a_fraction_of_the_way_down_and_knows_its_outcomes():
    x = np.array([-6.0, -3.0, 1.0])
    found = bb.explain(total, x, bb.Sis(threshold="75%", direction="below"))
    assert found.details["threshold"] == -6.0
    assert found.details["subsets"] == [[0]]
    assert bb.explain(total, x, bb.Sis(threshold=-9, direction="below")).outcome is bb.Outcome.NO_SUBSET
    assert bb.explain(total, x, bb.Sis(threshold=0, direction="below")).outcome is bb.Outcome.UNINFORMATIVE


def test_a_quantile_is_taken_of_a_reference_set_or_of_the_background_rows():
    given = bb.Sis(threshold=bb.Quantile(0.5, scores=(1.0, 4.0, 9.0)))
    assert bb.explain(total, [5.0, 1.0], given).details["threshold"] == 4.0
    rows = np.array([[0.0, 1.0], [0.5, 0.0], [0.0, 2.0]])
    found = bb.explain(total, [5.0, 1.0], bb.Sis(threshold="q50"), background=rows)
    assert found.details["threshold"] == 1.0
    with pytest.raises(bb.RequestError, match="level"):
        bb.Quantile(1.5)
    with pytest.raises(bb.RequestError, match="q90"):
        bb.Sis(threshold="qq")


@pytest.mark.parametrize("search", SEARCHES)
def test_one_feature(search):
    found = bb.explain(total, [2.0], bb.Sis(search=search, threshold=1))
    assert found.details["subsets"] == [[0]]
    assert found.details["certificates"][0]["minimal"]


@pytest.mark.parametrize("search", SEARCHES)
def test_an_input_that_is_all_background_is_uninformative(search):
    found = bb.explain(total, [0.0, 0.0], bb.Sis(search=search))
    assert found.outcome is bb.Outcome.UNINFORMATIVE
    assert found.rows == 1
    assert "another background" in str(found.outcome)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_score_that_is_no_number_on_some_mask_is_the_models_error(search):
    def f(rows):
        return np.where((rows != 0).sum(axis=1) == 3, np.nan, rows.sum(axis=1))

    with pytest.raises(bb.ModelError, match="not a number"):
        bb.explain(f, np.ones(4), bb.Sis(search=search, threshold=3.5))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("budget", [1, 5, 20, 60, 130, 400])
def test_a_budget_that_ends_midway_keeps_what_is_certified(search, budget):
    f, x = tangled(3, 24)
    whole = bb.explain(f, x, bb.Sis(search=search, threshold="30%"))
    found = bb.explain(f, x, bb.Sis(search=search, threshold="30%", budget=budget))
    assert found.rows <= budget + 2
    details = found.details
    assert all(score >= details["threshold"] for score in details["subset_scores"])
    done = [c for c in details["certificates"] if c["irreducible"]]
    if search != "exact":  # whose smaller budget leaves it with what it had proven
        assert details["subsets"][: len(done)] == whole.details["subsets"][: len(done)]
    if found.outcome is bb.Outcome.BUDGET_SPENT:
        assert len(details["subsets"]) - len(done) <= 1
        assert "budget" in str(found.outcome)


def test_a_budget_of_rows_keeps_what_is_certified_too():
    f, x = tangled(3, 24)
    model = open_model(f, options={"shape": (24,)})
    found = case(model, x, ledger=Ledger(most=250)).explain(bb.Sis(search="backselect"), None, "raw", 0)
    assert found.outcome is bb.Outcome.BUDGET_SPENT
    assert found.details["certificates"][0]["irreducible"] is None
    assert found.details["subset_scores"][0] >= found.details["threshold"]


def test_candidates_stream_in_chunks_whose_size_does_not_grow():
    d = 5000
    masks = np.ones((3, d), dtype=bool)
    search = sweep(Group.of([0.0] * 3), masks, np.repeat(np.arange(3), d), np.tile(np.arange(d), 3))
    largest, rows, ask = 0, [], next(search)
    while ask is not None:
        largest = max(largest, ask.masks.size)
        assert (ask.masks.sum(axis=1) == d - 1).all()
        rows += ask.games.tolist()
        try:
            ask = search.send(np.zeros(len(ask.masks)))
        except StopIteration:
            ask = None
    assert largest <= CELLS
    assert rows == [0] * d + [1] * d + [2] * d


def test_the_shortest_prefix_is_found_past_the_first_chunk():
    d = 5000
    group = Group.of([4321.0, 17.0, 2 * d])
    search = ranked(group, np.tile(np.arange(d)[::-1], (3, 1)), np.full(3, d))
    found, ask = [], next(search)
    while not found:
        assert ask.masks.size <= CELLS
        try:
            ask = search.send(ask.masks.sum(axis=1).astype(float))
        except StopIteration as stop:
            found = stop.value
    assert [one and len(one) for one in found] == [4321, 17, None]
    assert found[1] == list(range(d - 1, d - 18, -1))


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_auto_asks_at_most_half_of_backselect_on_digits_for_subsets_no_larger(model):
    opened = open_model(MODELS / "digits" / f"{model}.onnx", "cpu", {"threads": 1})
    sizes, rows = {}, {}
    for search in ("auto", "backselect"):
        found = [bb.explain(opened, x, bb.Sis(search=search, max_subsets=1)) for x in DIGITS[:30]]
        sizes[search] = np.mean([len(e.details["subsets"][0]) for e in found])
        rows[search] = sum(e.rows for e in found)
    assert sizes["auto"] <= sizes["backselect"]
    assert rows["auto"] <= rows["backselect"] / 2


def test_backselect_with_a_black_background_skips_at_least_a_third_of_the_passes():
    opened = open_model(MODELS / "digits" / "mlp.onnx", "cpu", {"threads": 1})
    method = bb.Sis(search="backselect", max_subsets=1)
    share = [bb.explain(opened, x, method).rows / (1 + 64 * 65 / 2) for x in DIGITS[:40]]
    assert np.mean(share) < 0.7


def flower(shape):
    """A picture whose score is the brightness of a small square, so that the subset is known."""
    x = np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)

    def f(rows):
        return rows[..., shape[-2] // 2 :, shape[-1] // 2 :].reshape(len(rows), -1)[:, :60].sum(axis=1)

    return f, x


def test_auto_ends_within_its_budget_on_patches_and_on_every_pixel_of_a_large_picture():
    f, x = flower((1, 224, 224))
    labels, _ = patches(x.shape, 14, 14)
    small = bb.explain(f, x, "sis", features=labels)
    assert small.rows < 2000
    assert all(c["irreducible"] for c in small.details["certificates"])
    pixels = np.arange(x.size).reshape(x.shape)
    large = bb.explain(f, x, bb.Sis(max_subsets=1), features=pixels)
    assert large.rows <= 20_002
    assert large.details["subset_scores"][0] >= large.details["threshold"]
    assert len(large.details["subsets"][0]) <= 60


@pytest.mark.parametrize("shape", [(224, 224), (3, 60, 90)])
def test_pixels_of_a_large_picture_are_first_hidden_in_squares(shape):
    labels = from_labels(np.arange(shape[-2] * shape[-1]).reshape(shape[-2:]), {"x": np.ones(shape)})
    place = labels.places()
    assert place.tolist() == np.argwhere(np.ones(shape[-2:])).tolist()
    kept = np.ones((1, len(labels)), dtype=bool)
    search = by_batches(Group.of([1.0]), kept, 0.175, place=place)
    ask, hidden, side = next(search), [], None
    while len(hidden) < BLOCKS // 2:
        for mask in ask.masks:
            gone = np.argwhere(~mask.reshape(shape[-2:]))
            low, high = gone.min(axis=0), gone.max(axis=0)
            assert len(gone) == np.prod(high - low + 1)  # every pixel of the box, and no other one
            side = side or high[0] - low[0] + 1
            assert (low % side == 0).all()
            assert (high - low < side).all()
            hidden.append(len(gone))
        if len(hidden) < BLOCKS // 2:
            ask = search.send(np.zeros(len(ask.masks)))
    assert max(hidden) == side**2 > 1
    assert len(hidden) <= BLOCKS


def test_features_that_are_no_picture_lie_in_a_row():
    assert from_labels(np.arange(5), {"x": np.ones(5)}).places() is None
    f = Counted(lambda rows: rows[:, 1000:1030].sum(axis=1))
    found = bb.explain(f, np.ones(3000), bb.Sis(max_subsets=1), features=np.arange(3000))
    assert set(found.details["subsets"][0]) <= set(range(1000, 1030))
    assert len(found.details["subsets"][0]) == 27
    assert f.count <= 6000


@pytest.mark.slow
@pytest.mark.parametrize("shade", [0.0, 0.5])
def test_auto_on_28_x_28_pictures_costs_1_5_percent_and_is_3_percent_larger_at_the_most(shade):
    opened = open_model(MODELS / "digits" / "cnn28.onnx", "cpu", {"threads": 1})
    data = read_dataset(MODELS / "digits" / "images28", opened.signature)
    background = np.full((1, 28, 28), shade, dtype=np.float32)
    sizes = {}
    for search in ("auto", "backselect"):
        found = bb.sis_profile(opened, data, bb.Sis(search=search, max_subsets=1), background=background)
        sizes[search] = np.mean([len(subset.members) for subset in found.subsets])
        if search == "auto":
            assert found.rows / len(data) <= 0.015 * 307_721
    assert sizes["auto"] <= 1.03 * sizes["backselect"]


KINDS = {
    "columns": ((6,), None),
    "one-hot groups": ((6,), np.array([0, 0, 0, 1, 1, 2])),
    "pixels": ((8, 8), np.arange(64).reshape(8, 8)),
    "patches": ((1, 8, 8), patches((1, 8, 8), 4, 4)[0]),
    "superpixels": ((8, 8), superpixels(np.random.default_rng(0).random((8, 8)), 6)[0]),
    "windows": ((12, 3), (np.arange(12) // 3)[:, None]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_feature_is_searched(kind):
    shape, labels = KINDS[kind]
    x = np.random.default_rng(1).uniform(0.1, 1, shape)
    found = bb.explain(total, x, bb.Sis(threshold="50%"), features=labels)
    assert found.outcome is bb.Outcome.DONE
    assert all(certificate["irreducible"] for certificate in found.details["certificates"])


def test_tokens_with_their_attention_mask_are_hidden_by_a_token_id():
    ids = np.array([5, 9, 2, 9, 7], dtype=float)
    background = filled({"input": ids}, 103)
    assert background.rows["input"].tolist() == [[103.0] * 5]
    found = bb.explain(lambda r: (r == 9).sum(axis=1) * 1.0, ids, bb.Sis(threshold=1), background=background)
    assert found.details["subsets"] == [[1], [3]] or found.details["subsets"] == [[3], [1]]


def test_a_blurred_background_is_smooth_and_keeps_the_mean():
    x = np.random.default_rng(0).random((1, 16, 16)).astype(np.float32)
    background = blur({"image": x}, 3.0)
    assert background.rows["image"].shape == (1, 1, 16, 16)
    assert background.rows["image"].std() < x.std() / 3
    assert background.rows["image"].mean() == pytest.approx(x.mean(), abs=0.02)
    with pytest.raises(bb.RequestError, match="picture"):
        blur({"x": np.ones(5, dtype=np.float32)}, 3.0)


def test_hot_deck_rows_are_averaged():
    rows = np.array([[0.0, 4.0], [2.0, 0.0]])
    found = bb.explain(total, [5.0, 6.0], bb.Sis(threshold=8), background=rows)
    assert found.details["subsets"] == [[0, 1]] or found.details["subset_scores"][0] >= 8
