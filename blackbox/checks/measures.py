"""Measures of any explanation: what happens to the score when its features go or come, and how it moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from blackbox.errors import RequestError
from blackbox.game import Game

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""ERASER's shares of the features, the highest ranked first."""


def deletion_auc(game: Game, values: np.ndarray, step: int = 1) -> float:
    """Area under the score while features are hidden from the highest value down; low is good.

    (sum of the scores - first/2 - last/2) / (n - 1) over n = ceil(d / step) + 1 scores (Petsiuk, Das and
    Saenko 2018, arXiv 1806.07421). Costs n masks.

    Parameters
    ----------
    game : of one target. values : Float[np.ndarray, "d"]. step : features hidden at a time.

    Examples
    --------
    >>> from blackbox.api import case
    >>> from blackbox.model import open_model
    >>> model = open_model(lambda x: x[:, 0] + 2 * x[:, 1], options={"shape": (2,)})
    >>> g = case(model, [1.0, 1.0]).game(None, "raw")
    >>> deletion_auc(g, np.array([1.0, 2.0]))
    1.25
    """
    return _area(game, ~_progress(game, values, step))


def insertion_auc(game: Game, values: np.ndarray, step: int = 1) -> float:
    """Area under the score while features come back from the highest value down; high is good.

    As ``deletion_auc``, starting from the fully hidden input. Costs ceil(d / step) + 1 masks.

    Examples
    --------
    >>> from blackbox.api import case
    >>> from blackbox.model import open_model
    >>> model = open_model(lambda x: x[:, 0] + 2 * x[:, 1], options={"shape": (2,)})
    >>> g = case(model, [1.0, 1.0]).game(None, "raw")
    >>> insertion_auc(g, np.array([1.0, 2.0]))
    1.75
    """
    return _area(game, _progress(game, values, step))


def comprehensiveness(game: Game, values: np.ndarray, shares: Sequence[float] = SHARES) -> float:
    """Mean fall of the score when the top shares of the features are hidden; high is good.

    mean over shares of v(N) - v(N - top) (DeYoung et al. 2020, ERASER, arXiv 1911.03429); at least one
    feature is hidden. Costs one mask a share.
    """
    tops = _tops(game, values, shares)
    return float((game.full() - game(~tops)).mean())


def sufficiency(game: Game, values: np.ndarray, shares: Sequence[float] = SHARES) -> float:
    """Mean fall of the score when only the top shares of the features are kept; low is good.

    mean over shares of v(N) - v(top) (DeYoung et al. 2020, ERASER, arXiv 1911.03429). Costs one mask a
    share.
    """
    tops = _tops(game, values, shares)
    return float((game.full() - game(tops)).mean())


def infidelity(game: Game, values: np.ndarray, masks: np.ndarray, scaled: bool = True) -> float:
    """Mean squared difference between what an explanation predicts of a change and what it does.

    mean over masks of (sum of the values of what is hidden - [v(N) - v(mask)])^2, with the values first
    rescaled by beta = mean(delta I.phi) / mean((I.phi)^2) as in the authors' code (Yeh et al. 2019, arXiv
    1901.09392); low is good. Costs the masks.

    Parameters
    ----------
    masks : Bool[np.ndarray, "n d"], True = kept.
    """
    predicted = (~masks).astype(float) @ values
    delta = (game.full() - game(masks))[:, 0]
    size = (predicted**2).mean()
    beta = (delta * predicted).mean() / size if scaled and size > 0 else 1.0
    return float(((beta * predicted - delta) ** 2).mean())


def faithfulness_correlation(game: Game, values: np.ndarray, masks: np.ndarray) -> float:
    """Pearson correlation between the summed values of what is hidden and the fall of the score.

    Bhatt, Weller and Moura 2020, arXiv 2005.00631; 0 where one side is constant. Costs the masks.

    Parameters
    ----------
    masks : Bool[np.ndarray, "n d"], True = kept; usually of one size, see ``hidden_at_random``.
    """
    predicted = (~masks).astype(float) @ values
    delta = (game.full() - game(masks))[:, 0]
    if np.ptp(predicted) == 0 or np.ptp(delta) == 0:
        return 0.0
    return float(np.corrcoef(predicted, delta)[0, 1])


def max_sensitivity(
    explain: Callable[[np.ndarray], np.ndarray], x: np.ndarray, radius: float, draws: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Largest relative change of an explanation within a small box around the input; low is good.

    max over u in [-radius, radius]^d of ||phi(x + u) - phi(x)|| / ||phi(x)|| (Yeh et al. 2019, arXiv
    1901.09392). ``explain`` keeps its seed, or its own noise is measured instead.

    Raises
    ------
    RequestError : the explanation of the input itself is zero.
    """
    own = explain(x)
    size = np.linalg.norm(own)
    if size == 0:
        raise RequestError("The explanation is zero everywhere, so it has no relative sensitivity.")
    moved = (explain(x + rng.uniform(-radius, radius, x.shape)) for _ in range(draws))
    return float(max(np.linalg.norm(values - own) for values in moved) / size)


def hidden_at_random(d: int, hidden: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return masks that hide ``hidden`` features each: Bool[np.ndarray, "count d"]."""
    return np.asarray(rng.random((count, d)).argsort(axis=1) >= hidden)


def _progress(game: Game, values: np.ndarray, step: int) -> np.ndarray:
    """Masks that keep the 0, step, 2 step, ... d features of highest value."""
    ranks = np.argsort(np.argsort(-values, kind="stable"), kind="stable")
    counts = np.append(np.arange(0, game.d, step), game.d)
    return np.asarray(ranks < counts[:, None])


def _area(game: Game, masks: np.ndarray) -> float:
    scores = game(masks)[:, 0]
    return float((scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1))


def _tops(game: Game, values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    ranks = np.argsort(np.argsort(-values, kind="stable"), kind="stable")
    counts = np.maximum(1, np.rint(np.array(shares) * game.d)).astype(int)
    return np.asarray(ranks < counts[:, None])
