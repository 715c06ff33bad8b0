"""``blackbox serve``: the explainer as a service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox.errors import RequestError

if TYPE_CHECKING:
    from blackbox.service.settings import Settings

ALL_ADDRESSES = "0.0.0.0"


@click.command()
@click.option("--models", multiple=True, metavar="DIR|FILE",
              help="Model file, folder of them, or blackbox.yaml; repeatable.")  # fmt: skip
@click.option("--host", help="Address to listen on; default: this machine only.")
@click.option("--port", "--http_port", "port", default=8080, show_default=True, help="0 = a free one.")
@click.option("--workers", default=1, show_default=True, help="Processes; each opens the models.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--sandbox/--no-sandbox", default=True, show_default=True,
              help="Run model files in confined processes.")  # fmt: skip
@click.option("--token-file", type=click.Path(path_type=Path), help="What every request must carry.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME",
              help="Name by which requests may ask; repeatable.")  # fmt: skip
@click.option("--max-rows", type=int, help="Forward rows of one request at the most; default 1,000,000.")
@click.option("--max-seconds", type=float, help="Seconds of one request at the most; default 60.")
@click.option("--max-body", type=int, help="Bytes of one request at the most; default 32 MiB.")
@click.option("--max-running", type=int, help="Requests answered at the same time; default: one per core.")
@click.option("--max-waiting", type=int, help="Requests that may wait for their turn; default 32.")
@click.option("--model_name", help="KServe: name of the model that is explained.")
@click.option("--predictor_host", help="KServe: host[:port] of the predictor.")
@click.option("--predictor_protocol", type=click.Choice(["v1", "v2"]), default="v1", show_default=True,
              help="KServe: what the predictor speaks.")  # fmt: skip
@click.option("--background", type=click.Path(path_type=Path),
              help="KServe: rows that stand in for what is hidden; default: zeros.")  # fmt: skip
@click.option("--jobs", type=click.Path(path_type=Path), help="Folder of audits that are taken as jobs.")
@click.option("--jobs-database", metavar="URL", help="PostgreSQL for the queue; default: a file in --jobs.")
@click.option("--check", is_flag=True, help="Open the models, ask each once, list them, and stop.")
def serve(models: tuple[str, ...], check: bool, **given: Any) -> None:
    """Serve models and their explanations over HTTP (needs the extra "serve").

    Protocols: KServe v1 (:predict, :explain) and v2 (infer, explain, MODEL__METHOD); a page at /.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f'{error.name} is missing: install the service with  python -m pip install "blackbox[serve]".'
        ) from None
    settings = _settings(models, given)
    if check:
        _check(settings)
        return
    from blackbox.service.running import serve as run

    run(settings)


def _settings(models: tuple[str, ...], given: dict[str, Any]) -> Settings:
    """Turn the command line into settings, refusing to listen openly without a token."""
    from blackbox.service.settings import GATEWAY, Settings, check_listening, read_token

    gateway = os.environ.get(GATEWAY) == "1"
    token = read_token(given["token_file"]) if given["token_file"] is not None else None
    host = given["host"] or (ALL_ADDRESSES if gateway else "127.0.0.1")
    check_listening(host, token, os.environ)
    return Settings(
        models=models, remote=_remote(given), background=_text(given["background"]), host=host,
        port=given["port"], workers=given["workers"], device=given["device"], token=token,
        hosts=given["hosts"] or None, sandbox=given["sandbox"], ceilings=_ceilings(given),
        jobs=_text(given["jobs"]), jobs_database=given["jobs_database"],
    )  # fmt: skip


def _ceilings(given: dict[str, Any]) -> Any:
    from blackbox.service.settings import Ceilings

    names = ("rows", "seconds", "body", "running", "waiting")
    return Ceilings(**{name: given[f"max_{name}"] for name in names if given[f"max_{name}"] is not None})


def _remote(given: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return where KServe's predictor answers."""
    name, host, protocol = given["model_name"], given["predictor_host"], given["predictor_protocol"]
    if (name is None) != (host is None):
        raise RequestError("--model_name and --predictor_host belong together: give both or neither.")
    if name is None:
        return {}
    base = host if "://" in host else f"http://{host}"
    return {name: (f"{base.rstrip('/')}/{protocol}/models/{name}", {"protocol": protocol})}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _check(settings: Settings) -> None:
    """Open every model, make its first pass, and say what would be served."""
    from blackbox.service.desk import Desk

    shelf = Desk.of(settings).shelf
    try:
        shelf.open_all()
        for served in shelf.models.values():
            served.prove()
            hidden = "zeros" if served.background is None else served.background.rule
            click.echo(f"{served.name}: ready; hidden features become {hidden}")
    finally:
        shelf.close()
