"""The smallest sufficient subset of a forest over one-hot groups: proven, against brute force, and in seconds."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import blackbox as bb
from blackbox.model import open_model

OPTIONS = {"threads": 1, "output": "probabilities"}


@pytest.fixture(scope="module")
def made():
    path = Path(__file__).parent.parent / "benchmarks" / "made.py"
    spec = importlib.util.spec_from_file_location("made", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def question(made, folder, groups, trees):
    """A forest, rows of which every group differs from the background, and how to ask about class 1."""
    model = open_model(made.forest(folder / "forest.onnx", groups, trees), "cpu", OPTIONS)
    rows = made.one_hot(40, groups, 9, made.WIDTH - 1)
    rows = rows[model.predict({"x": rows})["probabilities"][:, 1] > 0.5]
    return model, rows, {"features": made.labels(groups), "background": made.against(groups)}


def kept(made, x, members, groups):
    """The row with only these groups; the others vote against."""
    held = np.isin(made.labels(groups), members)
    return np.where(held, x, made.against(groups))


@pytest.mark.parametrize("threshold", ["70%", "90%", "99%"])
def test_the_smallest_subset_of_a_forest_is_the_one_that_brute_force_finds(made, tmp_path, threshold):
    model, rows, how = question(made, tmp_path, 9, 30)
    sizes = []
    for x in rows[:4]:
        found = bb.explain(model, x, bb.Sis(threshold, search="exact", max_subsets=1), 1, **how)
        members = found.details["subsets"][0]
        every = [s for size in range(10) for s in combinations(range(9), size)]
        scores = model.predict({"x": np.stack([kept(made, x, s, 9) for s in every])})["probabilities"][:, 1]
        enough = [len(s) for s, score in zip(every, scores, strict=True) if score >= found.details["threshold"]]
        assert len(members) == min(enough) == found.details["size_lower_bound"]
        assert found.details["certificates"][0]["minimal"] is True
        alone = scores[every.index(tuple(sorted(members)))]
        assert found.details["subset_scores"][0] == pytest.approx(alone, abs=1e-6)
        sizes.append(len(members))
    assert max(sizes) > 1


@pytest.mark.slow
def test_twenty_groups_are_proven_within_all_their_subsets(made, tmp_path):
    model, rows, how = question(made, tmp_path, 20, 100)
    for x in rows[:2]:
        found = bb.explain(model, x, bb.Sis("90%", search="exact", max_subsets=1), 1, **how)
        first = found.details["certificates"][0]
        assert first["minimal"]
        assert first["irreducible"]
        assert len(found.details["subsets"][0]) == found.details["size_lower_bound"] >= 5
        assert found.rows <= 2**20
