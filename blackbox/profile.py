"""What a model relies on in general: the sufficient subsets of many inputs, clustered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox import api
from blackbox.backgrounds import Background
from blackbox.case import Case
from blackbox.clusters import Clustering, cluster
from blackbox.errors import BlackboxError, RequestError
from blackbox.explanation import Explanation
from blackbox.features import Features, choose
from blackbox.inputs import Dataset, conform_each
from blackbox.lockstep import Question, answers, resolved
from blackbox.methods.sis import Sis
from blackbox.model import Model, Rows, Source, open_model
from blackbox.score import Ledger, Target
from blackbox.subsets import DISTANCES, Subset, choose_distance, distances, of_explanations
from blackbox.watcher import Watcher

BackgroundOf = Background | np.ndarray | Mapping[str, np.ndarray] | Callable[[Rows], Background] | None
FeaturesOf = Features | np.ndarray | Mapping[str, np.ndarray] | Callable[[Rows], Features] | None


@dataclass(frozen=True)
class SisProfile:
    """Sufficient subsets of many inputs of one model, and the groups they form.

    model : the model's file or function name. ids : one name per input. cases : the inputs with
    their features and background. explanations : one per input, None where it failed; failures :
    why, by input number. subsets : all subsets, input after input. distance, clustering : how far
    apart they lie, and their groups; numbers in it are positions in ``subsets``. rows : forward
    rows really spent.
    """

    model: str
    method: Sis
    ids: tuple[str, ...]
    cases: tuple[Case, ...]
    explanations: tuple[Explanation | None, ...]
    failures: Mapping[int, str]
    subsets: tuple[Subset, ...]
    distance: str
    clustering: Clustering
    rows: int

    def outcomes(self) -> dict[str, int]:
        """Count how the inputs ended: sentence -> number of inputs."""
        counts: dict[str, int] = {}
        for number, e in enumerate(self.explanations):
            told = str(e.outcome) if e is not None else self.failures[number]
            counts[told] = counts.get(told, 0) + 1
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the inputs as plain data, for JSON."""
        return {
            "schema": "blackbox.sis-profile/1",
            "model": self.model,
            "method": json.loads(json.dumps(dataclasses.asdict(self.method))),
            "inputs": len(self.ids),
            "rows": self.rows,
            "outcomes": self.outcomes(),
            "failures": {self.ids[number]: told for number, told in self.failures.items()},
            "distance": self.distance,
            "scan": [dataclasses.asdict(trial) for trial in self.clustering.scan],
            "chosen": dataclasses.asdict(self.clustering.chosen),
            "clusters": [
                {"number": c.number, "size": len(c.members), "medoid": c.medoid}
                for c in self.clustering.clusters
            ],
            "subsets": [
                {"input": self.ids[s.row], **dataclasses.asdict(s), "cluster": label}
                for s, label in zip(self.subsets, self.clustering.labels, strict=True)
            ],
        }


def sis_profile(
    model: Source,
    inputs: np.ndarray | Mapping[str, np.ndarray] | Dataset,
    method: Sis | None = None,
    target: Target = None,
    scale: str | None = None,
    features: FeaturesOf = None,
    background: BackgroundOf = None,
    distance: str = "auto",
    eps: float | None = None,
    min_samples: int | None = None,
    folder: Path | None = None,
    budget: int | None = None,
    watcher: Watcher | None = None,
) -> SisProfile:
    """Find the sufficient subsets of many inputs and group them.

    Inputs are searched in lockstep, 64 to 256 at a time: their candidate masks share forward passes, and
    every input gets what ``explain`` gives it alone (up to the runtime's rounding between batches).

    Parameters
    ----------
    model : as ``explain`` takes it. inputs : an array with a leading axis of inputs, one per input
        name, or a ``Dataset``.
    method : settings of the search; a ``Quantile`` without scores is taken over these inputs.
    target, scale : as ``explain`` takes them. features, background : as ``explain`` takes them, or
        a function from one input to its Features (superpixels) or Background (a blur).
    distance : ``energy`` (positions in a picture), ``jaccard`` (columns, tokens), ``edit``
        (sequences); ``auto`` = energy for pictures, else jaccard.
    eps, min_samples : of DBSCAN; None = scanned, see ``clusters.cluster``.
    folder : records are written here one by one as they are done, and those that lie there already,
        from an equal question, are not asked again.
    budget : forward rows at the most; what is certified by then is kept.

    Returns
    -------
    SisProfile

    Raises
    ------
    RequestError : the question does not fit, or ``folder`` holds the answers to another one.
    ModelError : no input could be answered.

    References
    ----------
    Carter, Mueller, Jain and Gifford 2019, arXiv 1810.03805, section 4.

    Examples
    --------
    >>> import blackbox as bb
    >>> rows = np.array([[5.0, 0.0, 1.0], [6.0, 0.5, 0.0], [0.0, 4.0, 0.3], [0.2, 5.0, 0.0]])
    >>> found = bb.sis_profile(lambda x: x.sum(axis=1), rows, bb.Sis(threshold=4), min_samples=2, eps=0.1)
    >>> [subset.members for subset in found.subsets], found.clustering.labels
    ([(0,), (0,), (1,), (1,)], (0, 0, 1, 1))
    """
    if distance not in DISTANCES:
        raise RequestError(f"distance must be one of {', '.join(DISTANCES)}; got {distance!r}.")
    rows = _inputs(inputs)
    opened = _opened(model, rows)
    ids, named = _ids(inputs, rows)
    watcher, ledger = watcher or Watcher(), Ledger(most=budget)
    ledger.observer = watcher.rows
    cases = tuple(_cases(opened, rows, features, background, ledger, len(ids)))
    question = Question(method or Sis(), target, scale, ledger, watcher)
    question = dataclasses.replace(question, method=resolved(question, cases))
    found = answers(question, cases, folder)
    explanations = tuple(a if isinstance(a, Explanation) else None for a in found)
    failures = {k: str(a) for k, a in enumerate(found) if isinstance(a, BlackboxError)}
    if len(failures) == len(found):
        raise next(a for a in found if isinstance(a, BlackboxError))
    subsets = of_explanations(explanations)
    kind = choose_distance(cases[0], named) if distance == "auto" else distance
    apart = distances(kind, subsets, cases)
    source = opened.identity.source.replace("\\", "/").rsplit("/", 1)[-1]
    return SisProfile(
        source, question.method, ids, cases, explanations, failures, subsets, kind,
        cluster(apart, eps, min_samples), sum(e.rows for e in explanations if e is not None),
    )  # fmt: skip


def _inputs(inputs: object) -> dict[str, np.ndarray]:
    if isinstance(inputs, Dataset):
        return dict(inputs.rows)
    if isinstance(inputs, Mapping):
        return {name: np.asarray(array) for name, array in inputs.items()}
    return {"": np.asarray(inputs)}


def _opened(model: Source, rows: Mapping[str, np.ndarray]) -> Model:
    if callable(model) and not isinstance(model, Model):
        return open_model(model, options={"shape": next(iter(rows.values())).shape[1:]})
    return open_model(model)


def _ids(inputs: object, rows: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], bool]:
    if isinstance(inputs, Dataset):
        return inputs.ids, bool(inputs.columns)
    counts = {len(array) for array in rows.values()}
    if len(counts) != 1 or counts == {0}:
        raise RequestError(f"inputs need at least one row, and as many per input name; got {sorted(counts)}.")
    return tuple(map(str, range(counts.pop()))), False


def _cases(
    model: Model, rows: Mapping[str, np.ndarray], features: FeaturesOf, background: BackgroundOf,
    ledger: Ledger, count: int,
) -> Iterator[Case]:  # fmt: skip
    alike: dict[tuple[tuple[int, ...], ...], Case] = {}
    for x in conform_each(model.signature, rows.get("", rows) if list(rows) == [""] else rows, count):
        shapes = tuple(array.shape for array in x.values())
        first = alike.get(shapes)
        if first is None or callable(features) or callable(background):
            features = choose(x) if features is None else features  # the default depends on the shape alone
            hidden = background(x) if callable(background) else background
            first = api.case(model, x, features(x) if callable(features) else features, hidden, ledger)
            alike[shapes] = first
            yield first
        else:  # what was checked against one input fits every input of its shape
            yield Case(model, x, first.features, first.background, ledger)
