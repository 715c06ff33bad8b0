"""``blackbox keygen``: a key pair to sign evidence with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("-o", "--output", "name", required=True, type=click.Path(path_type=Path),
              help="Writes NAME.pem (keep it secret) and NAME.pub.pem (give it to those who verify).",
              metavar="NAME")  # fmt: skip
def keygen(name: Path) -> None:
    """Make an Ed25519 key pair; files that are there already are never overwritten."""
    from blackbox.evidence import keys

    private, public = keys.make(name)
    click.echo(f"private key: {private}  (only you can read it; `blackbox sign` needs it)")
    click.echo(f"public key:  {public}  (publish it; `blackbox verify` needs it)")
    click.echo(f"fingerprint: {keys.key_id(keys.public_key(public))}")
