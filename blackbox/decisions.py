"""The principal reasons for an adverse decision: what hurt, how sure that is, and in whose words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.codes import CodeTable
from blackbox.explanation import Explanation
from blackbox.footing import Footing, Hurt, cut
from blackbox.methods import Method
from blackbox.numerics.ranks import rank_correlation
from blackbox.populations import Bar, Population
from blackbox.reasons import show


@dataclass(frozen=True)
class Adverse:
    """One principal reason.

    value : by how much the feature lowered the score of the favourable output, in units of the score;
    lower, upper : its interval, None where the method has none. code, text : of the code table; the
    feature's own words where the table has no true line. apart : whether it can be told from the next
    feature in the ranking, None where the method does not say.
    """

    feature: str
    label: str
    held: Any
    value: float
    lower: float | None
    upper: float | None
    code: str
    text: str
    apart: bool | None

    @property
    def sentence(self) -> str:
        """One line such as ``R03 Income is low (24,000)``."""
        return f"{self.code} {self.text}".strip() + f" ({show(self.held)})"


@dataclass(frozen=True)
class Decision:
    """A decision with its principal reasons.

    favourable : the output that the applicant wants; score, passing : what it got and what passes.
    reasons : what hurt, most first. close : labels of features that cannot be told from the last stated
    reason. overlooked : features excluded by declaration that would have been among the reasons.
    uncoded : stated features without a true line in the code table. compared : the rule by which those
    compared with were selected. proxy : the features in the order of comment 5's proxy, and its rank
    correlation with the method's values.
    """

    favourable: str
    adverse: bool
    score: float
    passing: float
    method: str
    confidence: float | None
    compared: str
    footing: Footing
    reasons: tuple[Adverse, ...] = ()
    close: tuple[str, ...] = ()
    overlooked: tuple[str, ...] = ()
    uncoded: tuple[str, ...] = ()
    proxy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The decision in plain words."""
        place = "below" if self.adverse else "at or above"
        told = f"The score for {self.favourable} is {self.score:.3g}, {place} the passing {self.passing:.3g}."
        if self.reasons:
            listed = "; ".join(f"{n}. {reason.sentence}" for n, reason in enumerate(self.reasons, start=1))
            told += f" What lowered it most, compared with {self.compared}: {listed}."
        if self.close:
            told += f" Too close to call: {', '.join(self.close)}."
        return f"{told} {self.footing}"

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain JSON, with its sentences."""
        told = dataclasses.asdict(self)
        told |= {"footing": self.footing.name, "footing_text": str(self.footing), "sentence": self.sentence}
        for reason, written in zip(self.reasons, told["reasons"], strict=True):
            written["sentence"] = reason.sentence
        return told


@dataclass(frozen=True)
class Rule:
    """How a plan wants reasons.

    method, scale : what attributes; count : reasons at the most. excluded : feature or column -> why it is no
    reason. population : whom to compare with; None = the explanation that the audit has is read.
    """

    method: Method
    scale: str | None
    bar: Bar
    count: int = 4
    codes: CodeTable | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)
    population: Population | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def decide(rule: Rule, case: Case, explanation: Explanation | None, seed: int) -> Decision | None:
    """State the reasons for one case.

    With a population, the method plays the case once more against it, about the favourable output; the
    case's ledger pays. Without one, ``explanation`` is read: about the favourable output or, where it is
    about another one, what supported that. None where there is nothing to read.

    Raises
    ------
    BlackboxError : the method could not answer.
    """
    if not case.answers:
        return None
    score = float(case.answers[0][0, rule.bar.column])
    if score >= rule.bar.passing:
        return _stated(rule, case, score, None, Footing.FAVOURABLE)
    if rule.population is not None:
        case = dataclasses.replace(case, background=rule.population.background, memories={}, answers=[])
        explanation = case.explain(rule.method, rule.bar.column, rule.scale, seed)
    if explanation is None or explanation.values.ndim != 1 or not np.isfinite(explanation.values).all():
        return None
    return _with_reasons(rule, case, score, explanation)


def _with_reasons(rule: Rule, case: Case, score: float, explanation: Explanation) -> Decision:
    ranking = Hurt.of(explanation, rule.bar.column)
    names = explanation.feature_names
    hurting = [k for k in ranking.order if ranking.values[k] > ranking.rounding]
    allowed = [k for k in hurting if not _excluded(case, names[k], rule.excluded)]
    overlooked = tuple(names[k] for k in hurting[: rule.count] if k not in allowed)
    kept, footing = cut(ranking, allowed, rule.count)
    close = ranking.group(allowed, len(kept), rule.count) if ranking.apart is not None else []
    if footing in (Footing.SEPARABLE, Footing.ORDER_OPEN):
        close = []
    stated = [_reason(rule, case, explanation, ranking, k, allowed) for k in kept]
    decision = _stated(rule, case, score, explanation, footing)
    return dataclasses.replace(
        decision,
        reasons=tuple(stated),
        close=tuple(rule.labels.get(names[k], names[k]) for k in close),
        overlooked=overlooked,
        uncoded=tuple(reason.feature for reason in stated if rule.codes is not None and not reason.code),
        proxy=_proxy(case, explanation, ranking),
    )


def _reason(
    rule: Rule, case: Case, explanation: Explanation, ranking: Hurt, k: int, allowed: Sequence[int]
) -> Adverse:
    name, held = explanation.feature_names[k], explanation.data[k]
    below = _below(case, k)
    code = rule.codes.find(name, below) if rule.codes else None
    label = rule.labels.get(name, name)
    place = list(allowed).index(k)
    following = allowed[place + 1] if place + 1 < len(allowed) else None
    apart = None if ranking.apart is None else following is None or ranking.between(k, following)
    return Adverse(
        name, label, rule.labels.get(str(held), held), float(ranking.values[k]),
        None if ranking.lower is None else float(ranking.lower[k]),
        None if ranking.upper is None else float(ranking.upper[k]),
        code.code if code else "", code.text if code else label, apart,
    )  # fmt: skip


def _below(case: Case, feature: int) -> bool | None:
    """Whether a feature of one number is below its mean over those compared with; None for other features."""
    for name, labels in case.features.labels.items():
        cells = labels.ravel() == feature
        if cells.any():
            lent = case.background.rows[name]
            if cells.sum() > 1 or lent.dtype.kind not in "fiu":
                return None
            mean = float(lent.reshape(len(lent), -1)[:, cells].mean(dtype=float))
            return bool(float(np.asarray(case.x[name]).ravel()[cells][0]) < mean)
    return None


def _excluded(case: Case, feature: str, excluded: Mapping[str, str]) -> bool:
    """A feature is excluded by its own name, or where all of its columns are."""
    if feature in excluded:
        return True
    features = case.features
    if not features.cells:
        return False
    labels = np.concatenate([labels.ravel() for labels in features.labels.values()])
    columns = [c for c, k in zip(features.cells, labels, strict=True) if k == features.names.index(feature)]
    return all(column in excluded for column in columns)


def _proxy(case: Case, explanation: Explanation, ranking: Hurt) -> dict[str, Any]:
    """Comment 5's order by a proxy: how far the feature alone pulls those compared with below their average.

    shortfall_j = mean_b f(b) - mean_b f(b with feature j of x), the method's own first masks. For an additive
    model that is the average of feature j's scores less the applicant's, as the comment says; a model that
    is not additive has no score per factor, so this is a stand-in.
    """
    targets = list(explanation.provenance["targets"])
    game = case.game(targets, explanation.scale)
    alone = game(np.eye(game.d, dtype=bool))[:, 0] - game.base()[0]
    shortfall = ranking.sign * alone
    names = explanation.feature_names
    order = [names[k] for k in np.argsort(-shortfall, kind="stable") if shortfall[k] > 0]
    same = rank_correlation(ranking.values, shortfall) if game.d > 1 else 1.0
    return {"order": order[:4], "rank_correlation": same}


def _stated(
    rule: Rule, case: Case, score: float, explanation: Explanation | None, footing: Footing
) -> Decision:
    confidence = None if explanation is None else explanation.settings.get("confidence")
    population = rule.population.background if rule.population is not None else case.background
    return Decision(
        rule.bar.name, score < rule.bar.passing, score, rule.bar.passing, rule.method.name,
        None if confidence is None else float(confidence), population.rule, footing,
    )  # fmt: skip
