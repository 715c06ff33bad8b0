"""``blackbox receipt``: one case on one page, for the person whom it concerns."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--case", required=True, help="The case's id, as the report shows it.")
@click.option(
    "-o", "--output", "path", required=True, type=click.Path(path_type=Path), help="The page, an .html file."
)
def receipt(folder: Path, case: str, path: Path) -> None:
    """Write the receipt of one case of the signed bundle in DIR.

    The page holds the decision, the reasons in words, the case's records, their proof and the signature,
    and no other case. It checks itself in the reader's browser, without a network; `blackbox verify`
    checks it too.
    """
    from blackbox.evidence.receipt import write_receipt

    count = write_receipt(folder, case, path)
    click.echo(f"{path}: {count} records of case {case}")
