"""Two models side by side: what each relies on, whether one's reasons satisfy the other, where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from blackbox import methods as register
from blackbox.case import Case
from blackbox.clusters import cluster
from blackbox.comparison import Comparison, CrossFeed, Meeting, Share
from blackbox.errors import BlackboxError, RequestError
from blackbox.inputs import Dataset
from blackbox.methods.sis import Sis
from blackbox.model import Model, Source, open_model
from blackbox.numerics import links
from blackbox.numerics.ranks import rank_correlation
from blackbox.profile import BackgroundOf, FeaturesOf, SisProfile, sis_profile
from blackbox.score import Target, output_labels
from blackbox.settings import whole
from blackbox.subsets import distances
from blackbox.watcher import Watcher


def compare(
    a: Source,
    b: Source,
    inputs: np.ndarray | Mapping[str, np.ndarray] | Dataset,
    method: Sis | None = None,
    target: Target = None,
    scale: str | None = None,
    features: FeaturesOf = None,
    background: BackgroundOf = None,
    distance: str = "auto",
    eps: float | None = None,
    min_samples: int | None = None,
    attribution: str = "occlusion",
    top: int = 5,
    folder: Path | None = None,
    watcher: Watcher | None = None,
) -> Comparison:
    """Compare what two models of the same inputs rely on: two vendors, or last year and this year.

    Parameters
    ----------
    a, b : models that take the same inputs and answer with the same columns.
    scale : None = probability where both are classifiers, so that logits and probabilities can be
        compared, else raw.
    attribution : method whose values are compared input by input. top : features in an overlap.
    folder : for records, in its folders ``a`` and ``b``; equal questions are not asked again.
    others : as ``sis_profile`` takes them.

    Returns
    -------
    Comparison

    Raises
    ------
    RequestError : the models' inputs or outputs differ, or the question does not fit.

    References
    ----------
    Carter, Mueller, Jain and Gifford 2019, arXiv 1810.03805, section 4.4.

    Examples
    --------
    >>> import blackbox as bb
    >>> rows = np.array([[5.0, 4.0], [6.0, 5.0], [4.0, 6.0]])
    >>> first, second = (lambda x: x[:, 0]), (lambda x: x[:, 1])
    >>> found = bb.compare(first, second, rows, bb.Sis(threshold=3), eps=0.5, min_samples=2, top=1)
    >>> [(share.a, share.b) for share in found.shares], found.a_to_b.passing, found.mean("overlap")
    ([(3, 0), (0, 3)], 0.0, 0.0)
    """
    whole("top", top, 1)
    _vacant(folder)
    rows = inputs.rows if isinstance(inputs, Dataset) else inputs
    first, second = (_open(source, rows) for source in (a, b))
    _check(first, second)
    settings = (method or Sis(), target, scale or _scale((first, second), rows), features, background)
    profiles = []
    for model, name in ((first, "a"), (second, "b")):
        here = folder / name if folder is not None else None
        profiles.append(
            sis_profile(model, inputs, *settings, distance, eps, min_samples, here, watcher=watcher)
        )
    return _compared(profiles[0], profiles[1], settings[2], eps, min_samples, attribution, top)


def _compared(
    a: SisProfile, b: SisProfile, scale: str, eps: float | None, min_samples: int | None, attribution: str,
    top: int,
) -> Comparison:  # fmt: skip
    subsets = a.subsets + b.subsets
    clustering = cluster(distances(a.distance, subsets, a.cases), eps, min_samples)
    split = len(a.subsets)
    shares = tuple(
        Share(c.number, sum(m < split for m in c.members), sum(m >= split for m in c.members), c.medoid)
        for c in clustering.clusters
    )
    return Comparison(
        a, b, subsets, clustering, shares, _feed(a, b, scale), _feed(b, a, scale),
        _meetings(a, b, scale, attribution, top), attribution, min(top, len(a.cases[0].features)), scale,
    )  # fmt: skip


def _open(source: Source, rows: object) -> Model:
    if callable(source) and not isinstance(source, Model):
        first = next(iter(rows.values())) if isinstance(rows, Mapping) else np.asarray(rows)
        return open_model(source, options={"shape": first.shape[1:]})
    return open_model(source)


def _vacant(folder: Path | None) -> None:
    """Refuse a folder that holds something other than an earlier comparison."""
    ours = {"a", "b", "compare.json", "report.html"}
    if folder is not None and folder.is_dir() and {path.name for path in folder.iterdir()} - ours:
        raise RequestError(f"The folder {folder} holds other files; name a new or an empty one.")


def _check(a: Model, b: Model) -> None:
    """Refuse models whose inputs cannot be the same."""
    shapes = [[(t.dtype, t.cell_shape) for t in model.signature.inputs] for model in (a, b)]
    if shapes[0] != shapes[1]:
        raise RequestError(
            f"The two models take different inputs ({shapes[0]} and {shapes[1]}), so the same rows cannot be "
            "shown to both."
        )
    names = [[t.name for t in model.signature.inputs] for model in (a, b)]
    if names[0] != names[1]:
        raise RequestError(f"The two models name their inputs differently ({names[0]} and {names[1]}).")


def _scale(models: Sequence[Model], rows: object) -> str:
    """Probability for two classifiers (judged on the first inputs), else raw."""
    kinds = []
    for model in models:
        tensors = model.signature.inputs
        given = rows if isinstance(rows, Mapping) else {tensors[0].name: np.asarray(rows)}
        few = {t.name: np.asarray(given[t.name])[: min(16, model.limits.rows_per_run)] for t in tensors}
        few = {t.name: few[t.name].astype(t.dtype if t.dtype != "string" else object) for t in tensors}
        outputs = np.asarray(model.predict(few)[model.signature.answer])
        kinds.append(
            model.signature.kind or links.detect_kind(outputs.reshape(len(outputs), -1).astype(float))
        )
    return "probability" if links.VALUES not in kinds else "raw"


def _feed(giver: SisProfile, taker: SisProfile, scale: str) -> CrossFeed:
    """Show one model's subsets to the other: same input, same output, only the subset kept."""
    scores, passing = [], []
    for row, e in enumerate(giver.explanations):
        if e is None or not e.details["subsets"]:
            continue
        masks = np.zeros((len(e.details["subsets"]), len(giver.cases[row].features)), dtype=bool)
        for mask, members in zip(masks, e.details["subsets"], strict=True):
            mask[members] = True
        try:
            begun = taker.method.begin(taker.cases[row].game(e.provenance["targets"][0], scale))
            found = begun.game(masks)[:, 0]
        except BlackboxError:
            continue  # an input that the other model cannot answer says nothing about the subset
        scores += found.tolist()
        passing += (begun.sign * found >= begun.sign * begun.threshold).tolist()
    if not scores:
        return CrossFeed(0, float("nan"), float("nan"))
    return CrossFeed(len(scores), float(np.mean(scores)), float(np.mean(passing)))


def _meetings(a: SisProfile, b: SisProfile, scale: str, attribution: str, top: int) -> tuple[Meeting, ...]:
    """Attributions of both models for the same output, input by input."""
    asked = register.method(attribution)
    found = []
    for row, e in enumerate(a.explanations):
        if e is None or b.explanations[row] is None:
            continue
        index = e.provenance["targets"][0]
        values = [p.cases[row].explain(asked, index, scale, 0).values for p in (a, b)]
        tops = [set(np.argsort(-np.abs(v), kind="stable")[:top].tolist()) for v in values]
        said = [_said(p.cases[row]) for p in (a, b)]
        overlap = len(tops[0] & tops[1]) / max(1, len(tops[0]))
        found.append(Meeting(row, said[0], said[1], rank_correlation(values[0], values[1]), overlap))
    found.sort(key=lambda m: (m.said_a == m.said_b, m.correlation))
    return tuple(found)


def _said(case: Case) -> str:
    """Name the output with the highest score; the score itself where there is one output only."""
    outputs = case.answers[0].mean(axis=0)
    if len(outputs) == 1:
        return f"{outputs[0]:.3g}"
    return output_labels(case.model, len(outputs))[int(outputs.argmax())]
