"""``blackbox sign``: put a name under a bundle."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Your private key, NAME.pem.")
def sign(folder: Path, key: Path) -> None:
    """Sign the bundle in DIR: writes statement.intoto.json and statement.dsse.json into it, offline.

    A bundle that does not hold is refused: exit code 4.
    """
    from blackbox.evidence import keys, signing

    name = signing.sign(folder, key)
    if keys.exposed(key):
        click.echo(f"Warning: others can read {key}; run `chmod 600 {key}`, or make a new pair.", err=True)
    click.echo(f"signed {folder} with the key {name}")
