"""Steps that are measured: a ladder of lengths along a few directions, read for noise, slopes and bends.

The right step differs by three orders of magnitude between a smooth network (1e-2 to 1e-1 of the
input's scale) and a deep one of ReLUs (1e-4), so that no default serves both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.numerics.differences import Function, together
from blackbox.numerics.noise import FOUND, TOO_CLOSE, ecnoise

LADDER = 0.1 * 10.0 ** (-np.arange(8) / 2)
"""Lengths that are tried, as shares of the scale: 0.1 down to 3e-5, each about a third of the last."""

DIRECTIONS = 3
SPACING = 1e-5
"""Of the points that measure the noise: a few units in the last place of a float32 input."""

PLACES = np.array([-3, -2, -1, 1, 2, 3])

AFFORDED = 2e-3
"""Share of the slopes that noise may make up where kinks ask for short steps."""

FLOOR = 8 * float(np.finfo(np.float32).eps)
"""A float32 forward pass repeats to about this share of its size (measured on dense networks and
forests, whose last bits depend on the batch): smaller changes are no response."""


@dataclass(frozen=True)
class Probe:
    """What a few lines through the point show.

    here : Float[np.ndarray, "c"]. directions : Float[np.ndarray, "m k"], of length one. up, down :
    Float[np.ndarray, "n m c"], values at +/- LADDER along the directions. line : Float[np.ndarray,
    "7 c"], values at equal, tiny spacing. rows : evaluations spent.
    """

    here: np.ndarray
    directions: np.ndarray
    up: np.ndarray
    down: np.ndarray
    line: np.ndarray
    rows: int = 0

    def seen(self, weights: np.ndarray) -> Probe:
        """Return the probe of weighted sums of the outputs, ``weights`` being Float "c q"."""
        parts = (self.up @ weights, self.down @ weights, self.line @ weights)
        return Probe(self.here @ weights, self.directions, *parts)

    @property
    def noise(self) -> np.ndarray:
        """Float[np.ndarray, "c"], the noise of each output: ECnoise, at least a quarter of an epsilon."""
        size = np.maximum(np.abs(self.up).max(axis=(0, 1)), np.abs(self.line).max(axis=0))
        found = ecnoise(self.line).sigma
        return np.asarray(np.fmax(found, FLOOR / 32 * size))

    @property
    def slopes(self) -> np.ndarray:
        """Float[np.ndarray, "n m c"], central slopes at every length."""
        return np.asarray((self.up - self.down) / (2 * LADDER[:, None, None]))

    @property
    def bends(self) -> np.ndarray:
        """Float[np.ndarray, "n m c"], second differences at every length."""
        return np.asarray((self.up + self.down - 2 * self.here) / LADDER[:, None, None] ** 2)


def probe(f: Function, k: int, rng: np.random.Generator) -> Probe:
    """Evaluate on a ladder of lengths along random directions, and on a tight line for the noise.

    Costs 7 + 16 m evaluations for m = min(3, k) directions, and 6 more where the tight line was
    too tight to tell two points apart (inputs that are rounded).
    """
    directions = rng.standard_normal((min(DIRECTIONS, k), k))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ladder = (LADDER[:, None, None] * directions).reshape(-1, k)
    line = SPACING * PLACES[:, None] * directions[0]
    # one call: a runtime's last bits may depend on the number of rows beside a row
    values = f(np.concatenate([together(ladder, -ladder), line, np.zeros((1, k))]))
    spent = len(values)
    here, tight = values[-1], _line(values[-7:-1], values[-1])
    up, down = values[:-7].reshape(len(LADDER), len(directions), 2, -1).transpose(2, 0, 1, 3)
    if ecnoise(tight).verdict == TOO_CLOSE:
        wider = _line(f(100 * line), here)
        spent += len(line)
        tight = wider if ecnoise(wider).verdict == FOUND else tight
    return Probe(here, directions, up, down, tight, spent)


def _line(values: np.ndarray, here: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:3], here[None], values[3:]])


def is_flat(found: Probe, resolution: np.ndarray | float = 0.0) -> bool:
    """Nothing moves the outputs, or at least half of what moves them does so by jumps.

    Followed from long to short steps, a smooth change falls to a third (at an extreme a tenth) from
    rung to rung. A jump keeps its size or vanishes at once; between many jumps a change may fall like
    a smooth one, but the last rung on which it is seen gives it away. ``resolution`` is what one output
    can tell apart, where that is known: its own steps are no jumps of the model.
    """
    changes = np.abs(np.concatenate([found.up, found.down], axis=1) - found.here)
    noise = np.maximum(np.maximum(found.noise, FLOOR * np.abs(found.here)), resolution)
    if (changes <= 5 * noise).all():
        return True
    clear = changes > 40 * noise
    if not clear.any():
        return False
    last = np.where(clear.any(axis=0), len(LADDER) - 1 - clear[::-1].argmax(axis=0), 0)
    there = np.take_along_axis(changes, last[None], axis=0)[0]
    next_one = np.take_along_axis(changes, np.minimum(last + 1, len(LADDER) - 1)[None], axis=0)[0]
    before = np.take_along_axis(changes, np.maximum(last - 1, 0)[None], axis=0)[0]
    vanished = (last < len(LADDER) - 1) & (next_one <= noise)
    kept = (last == len(LADDER) - 1) & (there > 0.9 * before)
    jumps = (vanished | kept)[clear.any(axis=0)]
    return bool(jumps.mean() >= 0.5)


@dataclass(frozen=True)
class Step:
    """The rung whose slopes agree best with those of the next one, and how well they do.

    length : h. disagreement : ||J(h) - J(h/3)|| / ||J(h/3)|| over the probes. errors :
    Float[np.ndarray, "c"], root mean square of J(h) - J(h/3) per output. noise : Float "c". kinked : the
    slopes change at kinks rather than smoothly.
    """

    length: float
    disagreement: float
    errors: np.ndarray
    noise: np.ndarray
    kinked: bool


def choose_step(found: Probe, kinked: bool = False) -> Step:
    """Take the length h at which the slopes J(h) and J(h/3) agree best.

    Too long, and curvature or kinks part them; too short, and the noise does, which is also added
    as expected, since few probes may agree by luck. Where there are kinks, few probes miss most of
    them: every rung down crosses a third as many, so that the shortest length is taken at which the noise
    stays below ``AFFORDED`` of the slopes.
    """
    slopes, noise = found.slopes, found.noise
    apart = np.sqrt(np.mean((slopes[:-1] - slopes[1:]) ** 2, axis=1))
    size = np.sqrt(np.mean(slopes[1:] ** 2, axis=(1, 2)) * slopes.shape[2])
    expected = np.sqrt((noise**2).sum() / 2) / LADDER
    total = np.sqrt((apart**2).sum(axis=1) + expected[1:] ** 2) / np.maximum(size, 1e-300)
    rung = int(np.argmin(total))
    if kinked:
        affordable = expected[:-1] <= AFFORDED * size
        rung = max(rung, int(np.flatnonzero(affordable)[-1])) if affordable.any() else rung
    disagreement = np.sqrt((apart[rung] ** 2).sum()) / max(size[rung], 1e-300)
    return Step(float(LADDER[rung]), float(disagreement), apart[rung], noise, kinked)


def step_at(found: Probe, length: float, kinked: bool) -> Step:
    """Read what the rung nearest to a length says of another sum of the outputs."""
    rung = int(np.abs(np.log(LADDER[:-1] / length)).argmin())
    apart = np.sqrt(np.mean((found.slopes[rung] - found.slopes[rung + 1]) ** 2, axis=0))
    size = float(np.sqrt(np.mean(found.slopes[rung + 1] ** 2, axis=0).sum()))
    return Step(length, float(np.sqrt((apart**2).sum())) / max(size, 1e-300), apart, found.noise, kinked)


def slope_errors(step: Step, asymmetry: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bound the error of every slope, taken at Float[np.ndarray, "k"]: Float[np.ndarray, "c k"].

    Three standard deviations of the noise; then, where there are kinks, half of what forward and backward
    slopes disagree by; elsewhere twice the disagreement of the probes, and more the more
    asymmetric an axis is.
    """
    rounding = 3 * step.noise[:, None] / (np.sqrt(2) * lengths)
    if step.kinked:
        return np.asarray(rounding + np.abs(asymmetry) / 2)
    typical = np.sqrt(np.mean(asymmetry**2, axis=1))
    share = np.abs(asymmetry) / np.maximum(typical, 1e-300)[:, None]
    return np.asarray(rounding + 2 * step.errors[:, None] * (1 + share))


def kinked_axes(step: Step, asymmetry: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the axes on which forward and backward slopes disagree by more than the noise, worst first."""
    allowed = np.sqrt(6) * np.maximum(step.noise, 1e-300)[:, None] / lengths
    worst = (np.abs(asymmetry) / allowed).max(axis=0)
    order = np.argsort(-worst, kind="stable")
    return np.asarray(order[worst[order] > 6])


RESOLVED, KINKED, STRAIGHT = "resolved", "kinked", "straight"


@dataclass(frozen=True)
class Bend:
    """What second differences show of one output.

    verdict : ``resolved`` (the same on three rungs, above the noise), ``straight`` (nothing above the
    noise), ``kinked`` (above the noise, but different on every rung). length : the rung to use.
    size : root mean square of the second differences there. disagreement : of that rung and the next.
    """

    verdict: str
    length: float
    size: float
    disagreement: float


def read_bend(found: Probe) -> Bend:
    """Tell smooth curvature from kinks and from noise, for a probe of a single output."""
    bends = found.bends[:, :, 0]
    noise = np.sqrt(6) * found.noise[0] / LADDER**2
    size = np.sqrt(np.mean(bends**2, axis=1))
    seen = size > 4 * noise
    if not seen[:3].any():
        return Bend(STRAIGHT, float(LADDER[0]), float(size[0]), 1.0)
    apart = np.sqrt(np.mean((bends[:-1] - bends[1:]) ** 2, axis=1)) / np.maximum(size[:-1], 1e-300)
    doubt = 3 * noise[1:] / np.maximum(size[:-1], 1e-300)
    # halving a smooth function's step by three cuts the disagreement by ten; chance does not
    shrinks = apart[1:] <= 0.5 * apart[:-1] + 0.03 + doubt[1:]
    good = seen[:-2] & (apart[:-1] <= 0.15 + doubt[:-1]) & (doubt[:-1] <= 0.3) & shrinks
    rung = int(np.argmin(np.where(seen[:-1], apart + doubt / 3, np.inf)))
    verdict = RESOLVED if good.any() else KINKED
    return Bend(verdict, float(LADDER[rung]), float(size[rung]), float(apart[rung]))
