"""How high is enough: a score, a share of the way to the full score, or a quantile of a reference set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.errors import RequestError
from blackbox.settings import number


@dataclass(frozen=True)
class Fraction:
    """A threshold between the fully hidden and the full score: base + value (full - base).

    Examples
    --------
    >>> Fraction(0.9).of(base=1.0, full=11.0)
    10.0
    """

    value: float

    def __post_init__(self) -> None:
        number("fraction", self.value, 0.0, strict=True)
        if self.value > 1:
            raise RequestError(f"fraction must be at most 1; got {self.value!r}.")

    def of(self, base: float, full: float) -> float:
        """Return the threshold in score units."""
        # the whole fraction is the full score itself, not what rounding makes of it
        return full if self.value == 1 else base + self.value * (full - base)


@dataclass(frozen=True)
class Quantile:
    """A threshold that a share ``level`` of a reference set stays below.

    Parameters
    ----------
    level : between 0 and 1. scores : of the reference set; () = the scores of the background's rows
        as inputs, or in ``sis_profile`` and ``compare`` of the inputs that are profiled.

    Examples
    --------
    >>> Quantile(0.5, scores=(1.0, 2.0, 30.0)).of([])
    2.0
    """

    level: float
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        number("level", self.level, 0.0)
        if self.level > 1:
            raise RequestError(f"level must be at most 1; got {self.level!r}.")

    def of(self, reference: np.ndarray | list[float]) -> float:
        """Return the quantile of the scores, or of ``reference`` where there are none."""
        return float(np.quantile(np.array(self.scores or reference, dtype=float), self.level))


Threshold = float | Fraction | Quantile | str | None

DEFAULT = Fraction(0.9)


def parsed(threshold: Threshold) -> float | Fraction | Quantile:
    """Read ``"90%"`` as Fraction(0.9), ``"q90"`` as Quantile(0.9) and None as Fraction(0.9).

    Raises
    ------
    RequestError : text that is neither, or a number that is not finite.
    """
    if threshold is None:
        return DEFAULT
    if isinstance(threshold, (Fraction, Quantile)):
        return threshold
    if isinstance(threshold, str):
        return _text(threshold)
    number("threshold", threshold, -np.inf)
    return float(threshold)


def _text(text: str) -> Fraction | Quantile:
    try:
        if text.endswith("%"):
            return Fraction(float(text.removesuffix("%")) / 100)
        if text.startswith("q"):
            return Quantile(float(text.removeprefix("q")) / 100)
    except ValueError:
        pass
    raise RequestError(
        f"threshold must be a number, a percentage such as 90% or a quantile such as q90; got {text!r}."
    )
