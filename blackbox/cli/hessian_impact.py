"""``blackbox hessian-impact``: does the second order matter for this model, and when?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from blackbox.cli import options, terminal
from blackbox.errors import RequestError
from blackbox.features import choose
from blackbox.files import written
from blackbox.impact import HessianImpact
from blackbox.impact import hessian_impact as compare
from blackbox.inputs import read_dataset
from blackbox.materials import picture_features


@click.command("hessian-impact")
@click.argument("model")
@click.option("--inputs", required=True, type=click.Path(path_type=Path),
              help="Rows: .csv, .parquet, .npy, .npz, a picture or a folder of pictures.")  # fmt: skip
@click.option("-o", "folder", required=True, type=click.Path(path_type=Path),
              help="Folder for impact.png and impact.json; made if it is not there.")  # fmt: skip
@click.option("--most", default=200, show_default=True, help="Inputs at the most, spread over the rows.")
@click.option("--lambda2", default=0.1, show_default=True, help="Share of the largest eigenvalue.")
@click.option("--hessian", default="auto", show_default=True, help="auto, closed-form or finite-difference.")
@click.option("--target", help="Class name or number; default: the predicted one of each input.")
@click.option("--grid", help="Patches of a picture, DOWNxACROSS, for example 14x14.")
@click.option("--seed", default=0, show_default=True, help="Names the random streams.")
@options.add(options.MODEL)
@options.add(options.DATA)
def hessian_impact(
    model: str, inputs: Path, folder: Path, most: int, lambda2: float, hessian: str, target: str | None,
    grid: str | None, seed: int, **given: Any,
) -> None:  # fmt: skip
    """Draw how far CASO's direction lies from CAFO's, against the confidence of MODEL.

    One Jacobian per input where the Hessian has a closed form (networks of ReLUs), many more rows where it
    must be differenced. Only floating-point inputs have derivatives.
    """
    opening, reading = options.split(given)
    opened = options.model_from(model, **opening)
    data = read_dataset(inputs, opened.signature, options.data_from(**reading))
    if most < 1:
        raise RequestError(f"--most must be at least 1; got {most}.")
    chosen = (
        [round(k * (len(data) - 1) / max(1, most - 1)) for k in range(most)] if len(data) > most else None
    )
    places = chosen if chosen is not None else list(range(len(data)))
    rows = [data.row(place) for place in places]
    pair = options.pair("--grid", grid)
    features = picture_features(rows[0], pair, None) if pair else choose(rows[0], data.columns or None)
    with terminal.progress("hessian-impact") as watcher:
        watcher.total(len(rows))
        found = compare(
            opened, rows, lambda2, hessian, target, features, data.rows if data.columns else None,
            [data.ids[place] for place in places], seed, lambda done: watcher.step(f"input {done}"),
        )  # fmt: skip
    _write(found, folder)


def _write(found: HessianImpact, folder: Path) -> None:
    from blackbox.report.impact import save_impact

    folder.mkdir(parents=True, exist_ok=True)
    with written(folder / "impact.json") as temporary:
        temporary.write_text(found.to_json() + "\n", encoding="utf-8")
    save_impact(found, folder / "impact.png")
    console = terminal.out()
    for low, high, count, median in found.bands():
        console.print(f"probability {low:g} to {high:g}: {count:3d} inputs, median difference {median:.3f}")
    console.print(found.sentence)
    left = len(found.points) - len(found.told())
    if left:
        reasons = sorted({point.outcome for point in found.points if point not in found.told()})
        console.print(f"{left} inputs without figures: {' '.join(reasons)}")
    console.print(
        f"{found.rows:,} forward rows; {folder / 'impact.png'}, {folder / 'impact.json'}", style="dim"
    )
