"""When does the second order matter? CASO against CAFO over many inputs, and against confidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from blackbox import api, seeds
from blackbox.case import Case
from blackbox.errors import RequestError
from blackbox.features import Features
from blackbox.methods.caso import Caso
from blackbox.model import Source, open_model
from blackbox.score import Target

SCHEMA = "blackbox.hessian-impact/1"
BANDS = (0.0, 0.5, 0.8, 0.95, 0.99, 1.0)
"""Edges of the bands of confidence over which medians are told."""


@dataclass(frozen=True)
class Point:
    """One input: what was asked, how sure the model is, and how much the second order changed.

    difference : || a/||a|| - b/||b|| || of CASO's and CAFO's solutions, from 0 to 2. cosine : of the
    leading eigenvector and the gradient. ratio : second over first eigenvalue. probability : NaN for a
    regression. hessian, error : the form and the error of its largest eigenvalue. outcome : as of CASO;
    the figures are NaN unless it is complete.
    """

    name: str
    target: str
    probability: float
    difference: float
    cosine: float
    ratio: float
    hessian: str
    error: float
    outcome: str
    rows: int


@dataclass(frozen=True)
class HessianImpact:
    """The points of all inputs, the settings, and one sentence on what they show.

    lambda2 : as a share of each input's largest eigenvalue, so that inputs can be compared.
    """

    model: str
    lambda2: float
    seed: int
    points: tuple[Point, ...]

    @property
    def rows(self) -> int:
        """Forward rows of all inputs together."""
        return sum(point.rows for point in self.points)

    def bands(self) -> list[tuple[float, float, int, float]]:
        """Return (from, to, inputs, median difference) for every band of confidence with inputs in it."""
        found = []
        for low, high in pairwise(BANDS):
            inside = [
                p.difference for p in self.told()
                if low <= p.probability < high or (high == 1.0 and p.probability == 1.0)
            ]  # fmt: skip
            if inside:
                found.append((low, high, len(inside), float(np.median(inside))))
        return found

    def told(self) -> list[Point]:
        """Return the points with figures."""
        return [point for point in self.points if not np.isnan(point.difference)]

    @property
    def sentence(self) -> str:
        """What the points show, in one sentence."""
        told = self.told()
        if not told:
            return "No input has a second order to show: see the outcomes."
        strong = sum(point.difference > 0.5 for point in told)
        text = (
            f"On {strong} of {len(told)} inputs the second order changes the direction strongly "
            f"(normalised difference above 0.5); the median difference is "
            f"{np.median([point.difference for point in told]):.2g}"
        )
        sure = [(p.probability, p.difference) for p in told if not np.isnan(p.probability)]
        if len(sure) > 2 and np.ptp([d for _, d in sure]) > 0 and np.ptp([p for p, _ in sure]) > 0:
            ranks = np.argsort(np.argsort(np.array(sure), axis=0), axis=0) - (len(sure) - 1) / 2
            together = float(ranks[:, 0] @ ranks[:, 1] / (ranks[:, 0] @ ranks[:, 0]))
            text += f", and its rank correlation with confidence is {together:+.2f}"
        return text + "."

    def to_json(self) -> str:
        """Return everything as JSON text; figures that do not exist are null."""
        record: dict[str, Any] = {
            "schema": SCHEMA, "model": self.model, "lambda2_share": self.lambda2, "seed": self.seed,
            "rows": self.rows, "sentence": self.sentence,
            "bands": [
                {"from": low, "to": high, "inputs": count, "median": median}
                for low, high, count, median in self.bands()
            ],
            "points": [
                {key: None if isinstance(v, float) and np.isnan(v) else v for key, v in asdict(p).items()}
                for p in self.points
            ],
        }  # fmt: skip
        return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)


def hessian_impact(
    model: Source,
    inputs: Iterable[Any],
    lambda2: float = 0.1,
    hessian: str = "auto",
    target: Target = None,
    features: Features | np.ndarray | None = None,
    background: Any = None,
    names: Sequence[str] | None = None,
    seed: int | None = 0,
    watcher: Callable[[int], None] | None = None,
) -> HessianImpact:
    """Compare CASO with CAFO over many inputs, as published for ImageNet: impact against confidence.

    impact = || CASO/||CASO|| - CAFO/||CAFO|| ||, both without an L1 norm, with lambda2 a share of the
    largest eigenvalue of each input's Hessian. Costs one Jacobian per input where the Hessian has a
    closed form (2k + 64 rows); lambda2 costs none.

    Parameters
    ----------
    model, target, features, background, seed : see ``explain``. inputs : one array per input.
    lambda2 : share of the largest eigenvalue. hessian : see ``Caso``. names : of the inputs, numbers
        when None. watcher : told the number of inputs done.

    Returns
    -------
    HessianImpact

    Raises
    ------
    RequestError : no input, a lambda2 of 0 or less, or what ``explain`` refuses.

    References
    ----------
    Singla, Wallace, Feng and Feizi 2019, arXiv 1902.00407.

    Examples
    --------
    >>> found = hessian_impact("sample_models/toys/softmax.onnx", [[1.0, -1.0, 0.5], [3.0, -1.0, 0.5]])
    >>> len(found.points), found.points[0].hessian
    (2, 'finite-difference')
    """
    if not 0 < lambda2 < float("inf"):
        raise RequestError(f"lambda2 must be above 0, a share of the largest eigenvalue; got {lambda2!r}.")
    given = list(inputs)
    if not given:
        raise RequestError("There is no input to ask about.")
    drawn = seeds.resolve(seed)
    opened = (
        open_model(model, options={"shape": np.shape(given[0])}) if _function(model) else open_model(model)
    )
    points = []
    for number, x in enumerate(given):
        one = api.case(opened, x, features, background)
        points.append(_point(one, names[number] if names else str(number), (lambda2, hessian), target, drawn))
        if watcher is not None:
            watcher(number + 1)
    source = opened.identity.source.replace("\\", "/").rsplit("/", 1)[-1]
    return HessianImpact(source, lambda2, drawn, tuple(points))


def _function(model: Source) -> bool:
    return callable(model) and not hasattr(model, "predict")


def _point(one: Case, name: str, form: tuple[float, str], target: Target, seed: int) -> Point:
    """Ask CASO, whose share of the eigenvalue makes one question of what would otherwise be two."""
    found = one.explain(Caso(lambda2=form[0], relative=True, hessian=form[1]), target, None, seed)
    read = found.details.get("second_order", {})
    a, b, c, d = (float(read.get(key, np.nan)) for key in ("probability", "difference", "cosine", "ratio"))
    return Point(
        name, found.output_names[0], a, b, c, d, found.details.get("hessian", ""),
        float(found.details.get("hessian_error", np.nan)), str(found.outcome), found.rows,
    )  # fmt: skip
