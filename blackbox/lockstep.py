"""One question about many inputs: searches in lockstep, records written one by one and read back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.errors import BlackboxError, BudgetSpent, RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.files import written
from blackbox.fill import LARGE, FillMany
from blackbox.game import Game
from blackbox.methods.sis import Begun, Sis
from blackbox.model import Model, Readout
from blackbox.numerics import links
from blackbox.pool import Play, play_together
from blackbox.score import Ledger, Target, choose_readout, forward
from blackbox.searches.batched import WIDE
from blackbox.searches.collection import Collection
from blackbox.threshold import Quantile
from blackbox.watcher import Watcher

TOGETHER = (64, 256)
"""Fewest and most inputs in lockstep. A round of a search costs the same Python for all of them, which is
felt beside inputs so small that hundreds of rows fit into a run; where few fit, records come sooner."""

QUESTION = "question.json"


@dataclass(frozen=True)
class Question:
    """What is asked of every input."""

    method: Sis
    target: Target
    scale: str | None
    ledger: Ledger
    watcher: Watcher


def together(case: Case) -> int:
    """Return how many inputs are searched in lockstep: as many as fill a run with one mask each."""
    least, most = TOGETHER
    return min(most, max(least, case.model.limits.rows_per_run // len(case.background)))


def resolved(question: Question, cases: Sequence[Case]) -> Sis:
    """Take a quantile without scores over the inputs themselves."""
    method, asked = question.method, question.method.threshold
    if not isinstance(asked, Quantile) or asked.scores:
        return method
    scores = []
    step = together(cases[0])
    for start in range(0, len(cases), step):
        games = _games(question, cases[start : start + step])
        scores += [float(game.full()[0]) for game in games]
    return dataclasses.replace(method, threshold=Quantile(asked.level, tuple(scores)))


def answers(
    question: Question, cases: tuple[Case, ...], folder: Path | None
) -> list[Explanation | BlackboxError]:
    """Read what is there, ask the rest in lockstep, write every record as soon as it is done."""
    found: dict[int, Explanation | BlackboxError] = {}
    if folder is not None:
        _claim(folder, question, cases)
        for half in (*folder.glob(".*.part"), *(folder / "records").glob(".*.part")):
            half.unlink(missing_ok=True)  # of a run that was killed
        found = {k: e for k, e in enumerate(_read(folder, k) for k in range(len(cases))) if e is not None}
    open_ones = [k for k in range(len(cases)) if k not in found]
    step = together(cases[0])
    question.watcher.total(max(1, -(-len(open_ones) // step)))
    for start in range(0, len(open_ones), step):
        group = open_ones[start : start + step]
        question.watcher.step(f"inputs {group[0] + 1} to {group[-1] + 1} of {len(cases)}")
        for k, answer in zip(group, _together(question, [cases[k] for k in group]), strict=True):
            found[k] = answer
            if folder is not None and isinstance(answer, Explanation):
                with written(folder / "records" / f"{k:05d}.json") as path:
                    path.write_text(answer.to_json(indent=1) + "\n", encoding="utf-8")
    return [found[k] for k in range(len(cases))]


def _together(question: Question, cases: Sequence[Case]) -> list[Explanation | BlackboxError]:
    """Play one group in lockstep; a failed input is a record, never the end."""
    try:
        games = _games(question, cases)
    except BudgetSpent as spent:
        return [spent] * len(cases)
    except BlackboxError as error:
        if len(cases) == 1:
            return [error]
        return [answer for case in cases for answer in _together(question, [case])]
    begun = [question.method.begin(game) for game in games]
    searched = [b for b in begun if b.passes and not b.uninformative]
    results = _searched(question, searched)
    return [
        _record(question.method, case, b, results.get(id(b), Collection()))
        for case, b in zip(cases, begun, strict=True)
    ]


def _searched(question: Question, begun: Sequence[Begun]) -> dict[int, Collection | BlackboxError]:
    """Search games of equally many features as arrays, and all of them in the same passes."""
    groups: dict[object, list[Begun]] = {}
    for one in begun:
        # blocks of a wide input follow from where its features lie, which games with one labelling share
        wide = id(one.game.features) if one.game.d > WIDE else 0
        groups.setdefault((one.game.d, wide), []).append(one)
    plays = [
        Play(tuple(one.game for one in group), question.method.searching(group), group[0].sign)
        for group in groups.values()
    ]
    results = play_together(plays, question.ledger)
    every = zip(groups.values(), results, strict=True)
    return {id(b): one for group, found in every for b, one in zip(group, found, strict=True)}


def _record(
    method: Sis, case: Case, begun: Begun, result: Collection | BlackboxError
) -> Explanation | BlackboxError:
    if isinstance(result, BlackboxError):
        return result
    return method.record(begun, result, case.provenance(begun.game) | {"pooled": True})


def _games(question: Question, cases: Sequence[Case]) -> list[Game]:
    """Build the games; the inputs themselves and their fully hidden forms share passes too."""
    model, count = cases[0].model, len(cases[0].background)
    answer = model.signature.answer
    unknown = [case for case in cases if not case.answers]
    if unknown:
        rows = {
            name: np.repeat(np.stack([c.x[name] for c in unknown]), count, axis=0) for name in unknown[0].x
        }
        outputs = forward(model, rows, answer, question.ledger)
        for k, case in enumerate(unknown):
            case.answers.append(outputs[k * count : (k + 1) * count])
    scale = question.scale or question.method.scale
    readouts = choose_readouts(model, [case.answers[0] for case in cases], question.target, scale)
    games = [case.game(question.target, scale, one) for case, one in zip(cases, readouts, strict=True)]
    _find_in_play(games)
    # an input with everything hidden is its background, but for the cells that are never hidden
    hidden = forward(model, _nothing(games), answer, question.ledger)
    for k, game in enumerate(games):
        game.told(False, game.score.mean(hidden[k * count : (k + 1) * count]))
    return games


def _find_in_play(games: Sequence[Game]) -> None:
    """Tell small games that share features and background which features are in play, all at once."""
    groups: dict[tuple[int, int], list[Game]] = {}
    for game in games:
        groups.setdefault((id(game.features), id(game.background)), []).append(game)
    for some in groups.values():
        if sum(array.size for array in some[0].x.values()) > LARGE:
            continue  # by itself each costs little beside its passes, and together they fill the memory
        found = np.zeros((len(some), some[0].d), dtype=bool)
        for name, labels in some[0].features.labels.items():
            inputs = np.stack([game.x[name] for game in some])
            unequal = np.zeros(inputs.shape, dtype=bool)
            for row in some[0].background.rows[name]:
                unequal |= inputs != row
            unequal &= labels >= 0
            which, cells = np.nonzero(unequal.reshape(len(some), -1))
            found[which, labels.ravel()[cells]] = True
        for game, in_play in zip(some, found, strict=True):
            vars(game)["in_play"] = in_play


def choose_readouts(
    model: Model, outputs: Sequence[np.ndarray], target: Target, scale: str
) -> list[Readout | None]:
    """Decide what to read for many inputs at once, as ``choose_readout`` does for each.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"] of equal shapes, one per input.

    Returns
    -------
    One readout per input, None for inputs that have to be asked alone (embeddings are compared with
    their own). Inputs that look alike and have one predicted class share theirs.
    """
    signature = model.signature
    if signature.kind == links.EMBEDDING:
        return [None] * len(outputs)
    table = np.stack(outputs)
    dtype = signature.output(signature.answer).dtype
    kinds = links.detect_each(table, dtype) if signature.kind is None else np.zeros(len(table), dtype=bool)
    best = table.mean(axis=1).argmax(axis=1) if target is None else np.zeros(len(table), dtype=np.int64)
    known: dict[tuple[bool, int], Readout] = {}
    found: list[Readout | None] = []
    for key, one in zip(zip(kinds.tolist(), best.tolist(), strict=True), outputs, strict=True):
        if key not in known:
            known[key] = choose_readout(model, one, target, scale)
        found.append(known[key])
    return found


def _nothing(games: Sequence[Game]) -> dict[str, np.ndarray]:
    """Return the rows of games with everything hidden."""
    many = FillMany.of([game.fill for game in games])
    if many is not None:
        return many(np.zeros((len(games), games[0].d), dtype=bool), np.arange(len(games)))
    parts = [game.fill(np.zeros((1, game.d), dtype=bool)) for game in games]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _claim(folder: Path, question: Question, cases: tuple[Case, ...]) -> None:
    """Write down which question a folder answers, or refuse a folder that answers another."""
    asked = json.dumps(_fingerprint(question, cases), indent=1, sort_keys=True) + "\n"
    there = folder / QUESTION
    if there.is_file():
        if there.read_text(encoding="utf-8") != asked:
            raise RequestError(f"The folder {folder} holds the answers to another question; name a new one.")
        return
    # a run that was killed before it had asked anything may have left these
    ours = {"records"} | {path.name for path in folder.glob(f".{QUESTION}.*.part")}
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names - ours or ("records" in names and any((folder / "records").iterdir())):
        raise RequestError(f"The folder {folder} holds other files; name a new or an empty one.")
    (folder / "records").mkdir(parents=True, exist_ok=True)
    with written(there) as path:
        path.write_text(asked, encoding="utf-8")


def _fingerprint(question: Question, cases: tuple[Case, ...]) -> dict[str, Any]:
    """What two questions must share to have the same answers."""
    digest, backgrounds = hashlib.sha256(), [case.background.sha256 for case in cases]
    for case in cases:
        for name in sorted(case.x):
            digest.update(name.encode())
            array = case.x[name]
            digest.update("\0".join(array.ravel()).encode() if array.dtype == object else array.tobytes())
            digest.update(case.features.labels[name].tobytes())
    return {
        "schema": "blackbox.sis-profile.question/1",
        "model": dict(cases[0].model.identity.sha256),
        "method": json.loads(json.dumps(dataclasses.asdict(question.method))),
        "target": question.target,
        "scale": question.scale,
        # one for all, or each input's own, such as a blur of it
        "background": backgrounds[0] if len(set(backgrounds)) == 1 else backgrounds,
        "inputs": digest.hexdigest(),
    }


def _read(folder: Path, number: int) -> Explanation | None:
    path = folder / "records" / f"{number:05d}.json"
    if not path.is_file():
        return None
    try:
        found = Explanation.from_json(path.read_text(encoding="utf-8"))
    except (RequestError, UnicodeDecodeError):
        return None  # asked again and written anew
    # what a budget cut short may be completed by the next run
    return None if found.outcome is Outcome.BUDGET_SPENT else found
