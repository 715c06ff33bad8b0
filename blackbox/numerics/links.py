"""Readings of an output vector: what was returned, its probabilities, log-odds or log-probabilities."""

from __future__ import annotations

import numpy as np

PROBABILITIES = "probabilities"
LOGITS = "logits"
VALUES = "values"
DECISIONS = "decision values"
EMBEDDING = "embedding"
KINDS = (PROBABILITIES, LOGITS, VALUES, DECISIONS, EMBEDDING)
TOLERANCE, TOLERANCES = 1e-3, {"bfloat16": 2**-8}
"""How far from one probabilities may sum; with bfloat16's 8 bits one is known to 1 in 256."""
LEAST = float(np.finfo(np.float32).tiny)
SCALES = ("raw", "probability", "logit", "log-probability")


def detect_kind(outputs: np.ndarray, tolerance: float = TOLERANCE) -> str:
    """Name what rows of outputs look like.

    One column is ``values`` (a regression); several columns in [0, 1] that sum to one within the
    tolerance are ``probabilities``; any other several columns are ``logits``.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"]
    """
    if outputs.shape[1] < 2:
        return VALUES
    return PROBABILITIES if _are_probabilities(outputs[None], tolerance)[0] else LOGITS


def _are_probabilities(outputs: np.ndarray, tolerance: float) -> np.ndarray:
    """Say of many tables, Float["k n c"], which hold rows in [0, 1] that sum to one: Bool["k"]."""
    inside = ((outputs >= -1e-6) & (outputs <= 1 + 1e-6)).all(axis=(1, 2))
    # np.isclose's relative part beside the tolerance
    found = np.zeros(len(outputs), dtype=bool)
    found[inside] = (np.abs(outputs[inside].sum(axis=2) - 1) <= tolerance + 1e-5).all(axis=1)
    return found


def detect_each(outputs: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Say which of many tables of outputs hold probabilities: Bool[np.ndarray, "k"].

    Parameters
    ----------
    outputs : Float[np.ndarray, "k n c"]. dtype : of the output, as ``detect_named`` takes it.
    """
    if outputs.shape[2] < 2:
        return np.zeros(len(outputs), dtype=bool)
    return _are_probabilities(outputs, TOLERANCES.get(dtype, TOLERANCE))


def detect_named(outputs: np.ndarray, name: str, dtype: str = "float32") -> str:
    """Name what rows of outputs look like, given what the output is called and its dtype.

    An output that is called probabilities and holds none (support vector machines export their decision
    function so) has ``decision values``: their softmax means nothing.

    Examples
    --------
    >>> detect_named(np.array([[1.5, -0.5]]), "probabilities"), detect_named(np.array([[1.5, -0.5]]), "y")
    ('decision values', 'logits')
    """
    kind = detect_kind(outputs, TOLERANCES.get(dtype, TOLERANCE))
    return DECISIONS if kind == LOGITS and "prob" in name.casefold() else kind


def similarity(outputs: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between each row and the reference: Float[np.ndarray, "n"].

    0 for a row of zeros, which points nowhere.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"]. reference : Float[np.ndarray, "c"], not all zeros.
    """
    lengths = np.linalg.norm(outputs, axis=1) * np.linalg.norm(reference)
    return np.asarray((outputs @ reference) / np.where(lengths > 0, lengths, 1.0))


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
    Float[np.ndarray, "n c"]; infinite on the logit scale where a probability is exactly 0 or 1. The
    logarithm of a given probability is that of at least 1.2e-38: below the smallest normal float32
    number, a model cannot tell a probability from 0.
    """
    if scale == "raw":
        return outputs
    if kind == PROBABILITIES:
        return _of_probabilities(np.clip(outputs, 0.0, 1.0), scale)
    one = outputs.shape[1] == 1
    if scale == "logit":
        return outputs if one else outputs - _log_of_the_others(outputs)
    log_p = -np.logaddexp(0.0, -outputs) if one else outputs - _logsumexp(outputs)
    return np.asarray(np.exp(log_p)) if scale == "probability" else log_p


def logits(outputs: np.ndarray, kind: str) -> np.ndarray:
    """Return logits of all classes up to a constant per row: Float[np.ndarray, "n c"].

    Logits as they are, probabilities as their logarithms (of at least 1.2e-38). A single column is
    one class of two: its log-odds, and zero for the other class.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"]; kind : ``probabilities`` or ``logits``.
    """
    if kind == PROBABILITIES:
        p = np.clip(outputs, 0.0, 1.0)
        logs = np.log(np.maximum(p, LEAST))
        if outputs.shape[1] > 1:
            return np.asarray(logs)
        outputs = logs - np.log(np.maximum(1.0 - p, LEAST))
    return np.hstack([outputs, np.zeros_like(outputs)]) if outputs.shape[1] == 1 else outputs


def _of_probabilities(p: np.ndarray, scale: str) -> np.ndarray:
    if scale == "probability":
        return p
    if scale == "log-probability":
        return np.asarray(np.log(np.maximum(p, LEAST)))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p))


def _logsumexp(values: np.ndarray) -> np.ndarray:
    peak = values.max(axis=1, keepdims=True)
    return np.asarray(peak + np.log(np.exp(values - peak).sum(axis=1, keepdims=True)))


def _log_of_the_others(outputs: np.ndarray) -> np.ndarray:
    """Return, per column, log sum of exp over the other columns.

    Subtracting one term from the sum is safe everywhere but at the largest column, which the sum of
    the others may lack by many orders: there the others are summed by themselves.
    """
    rows, top = np.arange(len(outputs)), outputs.argmax(axis=1)
    peak = outputs[rows, top][:, None]
    parts = np.exp(outputs - peak)
    rest = parts.sum(axis=1, keepdims=True) - parts
    rest[rows, top] = 1.0  # replaced below
    logs = peak + np.log(rest)
    others = outputs.copy()
    others[rows, top] = -np.inf
    logs[rows, top] = _logsumexp(others)[:, 0]
    return np.asarray(logs)
