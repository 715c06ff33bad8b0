"""``blackbox verify``: does a bundle hold?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from blackbox.evidence.verify import Verification


@click.command()
@click.argument("bundle", metavar="DIR|RECEIPT", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="The signer's NAME.pub.pem.")
@click.option("--model", type=click.Path(path_type=Path), help="Compare the audited model's bytes too.")
@click.option("--data", type=click.Path(path_type=Path), help="Compare the data's bytes too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@click.pass_context
def verify(
    context: click.Context, bundle: Path, key: Path, model: Path | None, data: Path | None, as_json: bool
) -> None:
    """Verify a signed bundle in DIR, or the receipt of one case, offline and without the model.

    Every file, every record, the hash tree, the statement and the signature are checked; what does not
    hold is named. Exit codes: 0 all that was checked holds, 4 something does not.
    """
    from blackbox.evidence.receipt import verify_receipt
    from blackbox.evidence.verify import verify as verified

    told: tuple[str, ...] = ()
    if bundle.is_file():
        if model or data:
            raise click.UsageError("--model and --data belong to a bundle's folder, not to a receipt.")
        found, told = verify_receipt(bundle, key)
    else:
        found = verified(bundle, key, model, data)
    if as_json:
        click.echo(json.dumps({"holds": found.holds, **dataclasses.asdict(found), "told": told}, indent=1))
    else:
        _tell(bundle, found, told)
    context.exit(0 if found.holds else 4)


def _tell(bundle: Path, found: Verification, told: tuple[str, ...]) -> None:
    click.echo(f"{'HOLDS' if found.holds else 'DOES NOT HOLD'}: {bundle}")
    for sentence in told:
        click.echo(f"  {sentence}")
    for problem in found.problems:
        click.echo(f"  failed: {problem}")
    click.echo(f"  checked: {', '.join(found.checked)}")
    for sentence in found.unchecked:
        click.echo(f"  not checked: {sentence}")
    for sentence in found.remarks:
        click.echo(f"  remark: {sentence}")
    if found.result:
        click.echo(f"  the audit itself ended with: {found.result}")
