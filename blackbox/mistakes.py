"""Inputs that a model gets wrong: what suffices for the wrong answer beside what does for the right one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.errors import BlackboxError, unknown
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.pool import play
from blackbox.profile import SisProfile
from blackbox.searches.greedy import forward, prune
from blackbox.searches.steps import Ask, Group, Search, only
from blackbox.threshold import Fraction


@dataclass(frozen=True)
class Mistake:
    """One input that the model gets wrong.

    truth, said : class names. wrong : the sufficient subsets for what the model says. threshold :
    the score both are asked to reach. right : the features that alone bring the true class to it,
    none where no set was found; right_score : its score with only them kept, or NaN.
    """

    row: int
    truth: str
    said: str
    wrong: Explanation
    threshold: float
    right: tuple[int, ...]
    right_score: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        found = dataclasses.asdict(dataclasses.replace(self, wrong=None))  # type: ignore[arg-type]
        found |= {"wrong": self.wrong.details["subsets"], "wrong_scores": self.wrong.details["subset_scores"]}
        return found | {"right_score": self.right_score if np.isfinite(self.right_score) else None}


def misclassified(
    profile: SisProfile, labels: Sequence[str], scale: str = "probability"
) -> tuple[Mistake, ...]:
    """Look at the inputs whose label is not what the model says: the seeds of a bug report.

    For the class that the model says, the sufficient subsets; for the true class, the features that
    alone bring it to the same score, found by forward greedy and a prune. The input as a whole does
    not reach it for the true class, else it would not be a mistake: something else in it distracts.
    Where the wrong class does not reach the method's threshold, 90 % of its way from the fully
    hidden to the full score is asked of both.

    Parameters
    ----------
    profile : from ``sis_profile``; its inputs, features, background and method are used.
    labels : the true class of every input, as the model names or numbers it.
    scale : on which both classes are asked.

    Raises
    ------
    RequestError : a label that is no class of the model.

    Examples
    --------
    >>> import blackbox as bb
    >>> def f(x):  # the second feature shouts for class 1, whatever the first says
    ...     return np.stack([x[:, 0], 3 * x[:, 1]], axis=1)
    >>> found = bb.sis_profile(f, np.array([[4.0, 2.0], [4.0, 0.0]]))
    >>> (mistake,) = bb.misclassified(found, ["0", "0"])
    >>> mistake.row, mistake.said, mistake.wrong.details["subsets"], mistake.right
    (0, '1', [[1]], (0,))
    """
    found = []
    for row, (case, label) in enumerate(zip(profile.cases, labels, strict=True)):
        if profile.explanations[row] is None:
            continue  # the profile lists it among its failures
        if not case.answers:  # its record was read, not asked
            case.game(None, scale)
        outputs = case.answers[0].mean(axis=0)
        names = case.output_names()
        if label not in names:
            raise unknown(f"class of input {profile.ids[row]}:", label, names)
        said, truth = int(outputs.argmax()), names.index(label)
        if said == truth:
            continue
        try:
            found.append(_mistake(profile, row, said, truth, scale))
        except BlackboxError:
            continue  # the profile lists it among its failures
    return tuple(found)


def _mistake(profile: SisProfile, row: int, said: int, truth: int, scale: str) -> Mistake:
    case = profile.cases[row]
    names = case.output_names()
    method = dataclasses.replace(profile.method, direction="above")
    wrong = case.explain(method, said, scale, 0)
    if wrong.outcome is Outcome.NO_SUBSET:  # a mistake is seldom made with full confidence
        wrong = case.explain(dataclasses.replace(method, threshold=Fraction(0.9)), said, scale, 0)
    threshold = float(wrong.details["threshold"])
    game = case.game(truth, scale)
    right, score = play(game, _reaching(game, threshold))
    return Mistake(row, names[truth], names[said], wrong, threshold, tuple(right), score)


def _reaching(game: Game, threshold: float) -> Search[tuple[list[int], float]]:
    """Find features that alone reach a threshold, whether or not the whole input does."""
    group = Group.of([threshold])
    (found,) = yield from forward(group, game.in_play[None])
    if found is None:
        return [], float("nan")
    ((members, _),) = yield from prune(group, [found.members], game.d)
    scores = yield Ask(only([members], game.d), group.numbers)
    return members, float(scores[0])
