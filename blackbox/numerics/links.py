"""Readings of an output vector: what was returned, its probabilities, log-odds or log-probabilities."""

from __future__ import annotations

import numpy as np

PROBABILITIES = "probabilities"
LOGITS = "logits"
VALUES = "values"
KINDS = (PROBABILITIES, LOGITS, VALUES)
SCALES = ("raw", "probability", "logit", "log-probability")


def detect_kind(outputs: np.ndarray) -> str:
    """Name what rows of outputs look like.

    One column is ``values`` (a regression); several columns in [0, 1] that sum to one within
    1e-3 are ``probabilities``; any other several columns are ``logits``.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"]
    """
    if outputs.shape[1] < 2:
        return VALUES
    inside = bool(np.all(outputs >= -1e-6) and np.all(outputs <= 1 + 1e-6))
    return PROBABILITIES if inside and np.allclose(outputs.sum(1), 1, atol=1e-3) else LOGITS


def read(outputs: np.ndarray, kind: str, scale: str) -> np.ndarray:
    """Turn raw outputs into the asked scale, row by row.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"], raw outputs as float64.
    kind : what the outputs are: ``probabilities``, ``logits`` (softmax over the columns; a single
        column is the log-odds of one class) or ``values``.
    scale : ``raw``, ``probability``, ``logit`` (log p - log(1 - p)) or ``log-probability``.

    Returns
    -------
    Float[np.ndarray, "n c"]; infinite where a probability is exactly 0 or 1 on a log scale.
    """
    if scale == "raw":
        return outputs
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p, log_q = _logs(outputs, kind)
        if scale == "probability":
            return np.asarray(np.exp(log_p))
        return log_p - log_q if scale == "logit" else log_p


def _logs(outputs: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return log p and log(1 - p) for every entry."""
    if kind == PROBABILITIES:
        clipped = np.clip(outputs, 0.0, 1.0)
        return np.log(clipped), np.log1p(-clipped)
    if outputs.shape[1] == 1:
        return -np.logaddexp(0.0, -outputs), -np.logaddexp(0.0, outputs)
    total = _logsumexp(outputs)
    return outputs - total, _log_of_the_others(outputs) - total


def _logsumexp(values: np.ndarray) -> np.ndarray:
    peak = values.max(axis=1, keepdims=True)
    return np.asarray(peak + np.log(np.exp(values - peak).sum(axis=1, keepdims=True)))


def _log_of_the_others(outputs: np.ndarray) -> np.ndarray:
    """Return log sum over the other columns of exp(output), without subtracting from one."""
    columns = range(outputs.shape[1])
    others = [_logsumexp(np.delete(outputs, column, axis=1)) for column in columns]
    return np.concatenate(others, axis=1)
