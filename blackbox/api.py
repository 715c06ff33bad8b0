"""explain(): the wiring of one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from blackbox import methods, seeds
from blackbox.backgrounds import Background, accept
from blackbox.case import Case
from blackbox.casts import cast
from blackbox.errors import RequestError
from blackbox.explanation import Explanation
from blackbox.features import Features, choose, from_labels
from blackbox.game import Game
from blackbox.inputs import conform
from blackbox.model import Model, Rows, Source, fitted, open_model
from blackbox.score import Ledger, Target


def explain(
    model: Source,
    x: np.ndarray | Sequence[float] | Mapping[str, Any],
    method: str | methods.Method = "kernelshap",
    target: Target = None,
    scale: str | None = None,
    features: Features | np.ndarray | Mapping[str, np.ndarray] | None = None,
    background: Background | np.ndarray | Mapping[str, np.ndarray] | None = None,
    seed: int | None = 0,
) -> Explanation:
    """Explain why a model gives one input its score.

    Parameters
    ----------
    model : a Model, or anything ``open_model`` accepts; a Python function takes its shape from ``x``.
    x : one input, array or mapping of input name -> array, without the batch axis.
    method : a registered name (see ``METHODS``), or a settings object such as ``KernelShap(budget=512)``.
    target : output index, class name, or a list of them; None = the predicted class, or the only
        output. ``sis`` and ``caso`` take one.
    scale : ``raw``, ``probability``, ``logit`` or ``log-probability``; None = raw for methods that
        hide features, log-probability for derivatives of a classifier.
    features : Features, or integer labels per cell (-1 = never hidden); None = one per column or
        cell up to 1,024 cells, a 14 x 14 grid of patches for larger pictures.
    background : rows that stand in for what is hidden, or a Background; None = one row of zeros
        (of empty text). Which rule applied is in ``provenance``.
    seed : names the random streams; None draws one and records it.

    Returns
    -------
    Explanation

    Raises
    ------
    RequestError : the question does not fit the model. ModelError : the model's answer cannot be
    used.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: x @ np.array([1.0, 2.0]), [1.0, 1.0], background=[[0.0, 0.5]])
    >>> e.values.round(6).tolist(), float(e.base_values), float(e.full_values)
    ([1.0, 1.0], 1.0, 3.0)
    """
    asked = _method(method)
    opened = model if isinstance(model, Model) else _open(model, x)
    return case(opened, x, features, background).explain(asked, target, scale, seeds.resolve(seed))


def explain_many(
    model: Source,
    rows: np.ndarray | Sequence[Sequence[float]] | Mapping[str, Any],
    method: str | methods.Method = "kernelshap",
    target: Target = None,
    scale: str | None = None,
    features: Features | np.ndarray | Mapping[str, np.ndarray] | None = None,
    background: Background | np.ndarray | Mapping[str, np.ndarray] | None = None,
    seed: int | None = 0,
) -> Iterator[Explanation]:
    """Explain many inputs, one after the other, sharing what they can share.

    KernelSHAP asks every row the same masks and factorises once; other methods explain row by row.
    Answers are yielded as they come and nothing is kept of them, so memory does not grow with the
    number of rows; ``bb.stack`` gathers what should be drawn together.

    Parameters
    ----------
    rows : inputs with a leading axis, an array or a mapping of input name -> array. The others : as for
        ``explain``; ``target`` None = each row's own predicted class.

    Yields
    ------
    Explanation : ``details["pooled"]`` is True where the row shared a design with others.

    Raises
    ------
    RequestError, ModelError : as ``explain``, when the row in question is reached.

    Examples
    --------
    >>> import blackbox as bb
    >>> found = bb.explain_many(lambda x: x[:, 0] * x[:, 1], [[1.0, 2.0], [3.0, 4.0]])
    >>> [e.values.tolist() for e in found]
    [[1.0, 1.0], [6.0, 6.0]]
    """
    asked, drawn = _method(method), seeds.resolve(seed)
    given = rows if isinstance(rows, Mapping) else {"": np.asarray(rows)}
    counts = {np.shape(array)[:1] for array in given.values()}
    if len(counts) != 1 or () in counts:
        raise RequestError("The rows to explain need a leading axis, of one length in every input.")
    ((count,),) = counts
    if not count:
        return
    singles = (
        {k: a[i] for k, a in given.items()} if isinstance(rows, Mapping) else given[""][i]
        for i in range(count)
    )
    first = {k: a[0] for k, a in given.items()} if isinstance(rows, Mapping) else given[""][0]
    opened = model if isinstance(model, Model) else _open(model, first)
    cases = (case(opened, one, features, background) for one in singles)
    together = getattr(asked, "explain_all", None)
    if together is None:
        for one in cases:
            yield one.explain(asked, target, scale, drawn)
        return
    open_cases: list[tuple[Case, Game]] = []

    def games() -> Iterator[Game]:
        for one in cases:
            game = one.game(target, scale or asked.scale)
            open_cases.append((one, game))
            yield game

    for played in together(games(), lambda game: seeds.generator(drawn, asked.name, game.d)):
        one, game = open_cases.pop(0)
        yield one.complete(played, game, drawn)


def case(
    model: Model,
    x: object,
    features: Features | np.ndarray | Mapping[str, np.ndarray] | None = None,
    background: object = None,
    ledger: Ledger | None = None,
) -> Case:
    """Make one input fit the model and build the Case that methods are asked about."""
    rows = conform(model.signature, x)
    accepted = accept(background, rows)
    return Case(fitted(model, rows), rows, _features(features, rows), accepted, ledger or Ledger())


def _method(method: object) -> methods.Method:
    if isinstance(method, str):
        return methods.method(method)
    if isinstance(method, methods.Method) and not isinstance(method, type):
        return method
    raise RequestError(f"method must be a name or a settings object such as KernelShap(); got {method!r}.")


def _open(source: Source, x: object) -> Model:
    if callable(source) and not isinstance(x, Mapping):
        return open_model(source, options={"shape": cast("The input", "float32", x).shape})
    return open_model(source)


def _features(features: Features | np.ndarray | Mapping[str, np.ndarray] | None, x: Rows) -> Features:
    if features is None:
        return choose(x)
    if isinstance(features, Features):
        fitted = from_labels(features.labels, x, features.names, features.rule, features.cells)
        return replace(fitted, never_hidden=features.never_hidden)
    return from_labels(features, x)
