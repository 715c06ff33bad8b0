"""How reasons are stated, from what a plan says: code table, passing score, and whom to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox import seeds
from blackbox.codes import read_codes
from blackbox.decisions import Rule
from blackbox.errors import unknown
from blackbox.inputs import Dataset, DataSpec, read_dataset
from blackbox.model import Model
from blackbox.populations import Bar, Population, bar_of, select

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import Plan


def ruled(
    plan: Plan, folder: Path, model: Model, data: Dataset, features: Sequence[str],
    labels: Mapping[str, str], files: dict[str, tuple[Path, ...]],
) -> tuple[Rule, int]:  # fmt: skip
    """Read what reasons need, and note the files under their roles.

    Parameters
    ----------
    folder : what the plan's paths are relative to. features : their names; labels : words for people.

    Returns
    -------
    the rule, and the rows that the model was asked for it.

    Raises
    ------
    RequestError : a file is missing or does not fit, a name is unknown, or nobody just passed.
    """
    part = plan.reasons
    assert part is not None
    assert part.favourable is not None
    known = tuple(dict.fromkeys((*features, *data.columns)))
    for name in part.excluded:
        if name not in known:
            raise unknown("feature in reasons.excluded:", name, known)
    codes = None
    if part.codes is not None:
        files["codes"] = (folder / part.codes,)
        codes = read_codes(folder / part.codes, known)
    first = {name: array[:1] for name, array in data.rows.items()}
    bar, asked = bar_of(model, first, part.favourable, part.passing)
    population = _population(plan, folder, model, data, bar, files)
    method, scale = plan.parsed_methods()[part.method]
    rule = Rule(method, scale, bar, part.count, codes, part.excluded, population, labels)
    return rule, asked + (population.rows if population else 0)


def _population(
    plan: Plan, folder: Path, model: Model, data: Dataset, bar: Bar, files: dict[str, tuple[Path, ...]]
) -> Population | None:
    part = plan.reasons.background if plan.reasons is not None else None
    if part is None:
        return None
    rows = data.rows
    if part.path is not None:
        spec = DataSpec(columns=data.columns or None, image=plan.data.spec().image)
        read = read_dataset(folder / part.path, model.signature, spec)
        rows, files["applicants"] = read.rows, read.files
    rng = seeds.generator(plan.seed, "applicants")
    return select(model, rows, bar, part.use, part.within, part.most, rng)
