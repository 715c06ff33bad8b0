"""MLflow: an evaluator that audits an ONNX model and logs the bundle and its numbers to the run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import blackbox as bb

NAME = "blackbox"
KEYS = ("plan", "model", "artifact_path", "workers")


class Evaluator:
    """``mlflow.models.evaluate(..., evaluators="blackbox", evaluator_config={"plan": ...})``.

    plan : the path of a plan, or a plan as a mapping. Its ``model`` and ``data`` are those that MLflow
    evaluates and must not be named again; of ``model`` and ``data`` everything but the path may be given,
    such as ``{"model": {"classes": [...]}}``. model : path or URI of the model, where it was never logged
    and MLflow does not know where it lies. artifact_path : folder of the bundle among the run's
    artifacts (``blackbox``). workers : processes.

    Logged: the whole bundle, and the metrics ``blackbox_passed`` (1 or 0), ``blackbox_findings_passed``,
    ``_warned``, ``_failed``, ``_skipped``, ``blackbox_cases`` and ``blackbox_rows``.
    """

    @classmethod
    def can_evaluate(cls, *, evaluator_config: Mapping[str, Any] | None, **_: Any) -> bool:
        """Evaluate where a plan is given, and stand aside in evaluations that are not meant for it."""
        return "plan" in (evaluator_config or {})

    def evaluate(
        self, *, dataset: Any, run_id: str, evaluator_config: Mapping[str, Any], model: Any = None, **_: Any
    ) -> Any:
        """Audit, log to the run, and return MLflow's ``EvaluationResult``."""
        from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact
        from mlflow.models.evaluation.base import EvaluationResult
        from mlflow.tracking import MlflowClient

        import blackbox as bb

        if unknown := sorted(set(evaluator_config) - set(KEYS)):
            raise bb.RequestError(f"evaluator_config has no key {unknown[0]!r}; known: {', '.join(KEYS)}.")
        place, client = str(evaluator_config.get("artifact_path", NAME)), MlflowClient()
        with tempfile.TemporaryDirectory(prefix="blackbox-") as folder:
            result = _audit(Path(folder), dataset, model, evaluator_config)
            client.log_artifacts(run_id, str(result.folder), place)
            metrics, summary = _metrics(result), result.manifest
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        uri = f"{client.get_run(run_id).info.artifact_uri}/{place}/manifest.json"
        return EvaluationResult(metrics, {"blackbox_manifest": JsonEvaluationArtifact(uri, summary)}, run_id)


def _audit(folder: Path, dataset: Any, model: Any, config: Mapping[str, Any]) -> bb.AuditResult:
    import blackbox as bb

    told, base = _plan(config["plan"])
    rows = folder / "data.parquet"
    _write_rows(dataset, rows)
    source = _model_folder(model, config.get("model"), folder / "model")
    told["model"] = {**_part(told, "model"), "path": str(source)}
    told["data"] = {**_part(told, "data"), "path": str(rows)}
    return bb.audit(told, folder=folder / "bundle", base=base, workers=int(config.get("workers", 1)))


def _plan(given: Any) -> tuple[dict[str, Any], Path]:
    """Return a plan as a mapping, and what its paths are relative to."""
    from blackbox.yamls import read_yaml

    if isinstance(given, Mapping):
        return dict(given), Path()
    read = read_yaml(Path(given))
    return (dict(read) if isinstance(read, Mapping) else {}), Path(given).resolve().parent


def _part(plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    import blackbox as bb

    part = dict(plan.get(name) or {})
    if "path" in part:
        raise bb.RequestError(
            f"The plan names a {name}.path, but MLflow hands over its own {name}: leave the path out of a "
            "plan for mlflow.models.evaluate, or run it with `blackbox audit`."
        )
    return part


def _model_folder(model: Any, named: str | None, folder: Path) -> Path:
    """Return a local copy of the model's MLflow folder."""
    from mlflow.artifacts import download_artifacts

    import blackbox as bb

    if not hasattr(model, "metadata"):
        raise bb.RequestError("blackbox audits models: evaluate an MLflow model, not predictions.")
    if "onnx" not in model.metadata.flavors:
        found = ", ".join(model.metadata.flavors)
        raise bb.RequestError(
            f"blackbox audits ONNX models, and this MLflow model has the flavors {found}: convert it and log "
            "it with mlflow.onnx.log_model."
        )
    if named is None and model.model_id is None:
        raise bb.RequestError(
            "This model was never logged, so MLflow does not know where it lies: name its folder in "
            'evaluator_config={"model": ...}, or log it first.'
        )
    folder.mkdir()
    uri = str(named) if named is not None else f"models:/{model.model_id}"
    return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))


def _write_rows(dataset: Any, path: Path) -> None:
    """Write the features that MLflow evaluates as a table with their names."""
    import pandas as pd

    features = dataset.features_data
    if not isinstance(features, pd.DataFrame):
        features = pd.DataFrame(features, columns=list(dataset.feature_names))
    features.rename(columns=str).to_parquet(path, index=False)


def _metrics(result: bb.AuditResult) -> dict[str, float]:
    manifest = result.manifest
    counts = {f"{NAME}_findings_{status}": float(count) for status, count in manifest["findings"].items()}
    return {
        f"{NAME}_passed": float(result.passed), **counts,
        f"{NAME}_cases": float(manifest["cases"]), f"{NAME}_rows": float(manifest["rows"]),
    }  # fmt: skip
