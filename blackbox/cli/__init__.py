"""The doors: click commands that parse, call and print, one file per verb."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from blackbox import __version__
from blackbox.cli.audit import audit
from blackbox.cli.compare import compare
from blackbox.cli.doctor import doctor
from blackbox.cli.explain import explain
from blackbox.cli.hessian_impact import hessian_impact
from blackbox.cli.init import init
from blackbox.cli.inspect import inspect
from blackbox.cli.keygen import keygen
from blackbox.cli.methods import methods
from blackbox.cli.plan import plan
from blackbox.cli.receipt import receipt
from blackbox.cli.replay import replay
from blackbox.cli.serve import serve
from blackbox.cli.sign import sign
from blackbox.cli.sis_profile import sis_profile
from blackbox.cli.verify import verify
from blackbox.errors import BlackboxError, nearest


class Told(click.ClickException):
    """One of our errors, as click shows it and with its own exit code."""

    def __init__(self, error: BlackboxError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it off the instance


class Doors(click.Group):
    """A group that tells our errors as one paragraph and suggests the nearest verb."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BlackboxError as error:
            raise Told(error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            verbs = self.list_commands(ctx)
            raise click.UsageError(
                f"No such command {args[0]!r}.{nearest(args[0], verbs)} Commands: {', '.join(verbs)}.", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Doors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="blackbox")
def cli() -> None:
    """Explain and audit ONNX models that cannot be opened, by forward passes alone.

    \b
    Start here:
      blackbox inspect MODEL                  what the file is and takes
      blackbox init MODEL --data rows.csv     write a plan for it
      blackbox audit audit.yaml               explain, check, report

    Exit codes: 0 passed, 1 a check failed, 2 a wrong request, 3 the model's side,
    4 evidence does not hold.
    """  # noqa: D301  # click wants the backspace itself


for verb in (
    inspect,
    explain,
    sis_profile,
    compare,
    hessian_impact,
    init,
    plan,
    audit,
    replay,
    keygen,
    sign,
    verify,
    receipt,
    serve,
    methods,
    doctor,
):
    cli.add_command(verb)


def main() -> None:
    """Run the command line; Ctrl-C ends with 130 and nothing half-written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead
    try:
        # click returns the code of ctx.exit() here instead of raising it
        raise SystemExit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. Nothing is half-written.", err=True)
        raise SystemExit(130) from None
