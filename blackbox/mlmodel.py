"""MLflow's model folders: which file in them is the ONNX model."""

from __future__ import annotations

from pathlib import Path

from blackbox.errors import ModelError

NAME = "MLmodel"


def located(path: Path) -> Path:
    """Return the ONNX file of a folder that MLflow saved, and any other path as it is.

    Raises
    ------
    ModelError : the folder's ``MLmodel`` names no ONNX file that lies in the folder.
    RequestError : it is no readable YAML.
    """
    if not (path / NAME).is_file():
        return path
    from blackbox.yamls import read_yaml  # PyYAML is needed here only

    told = read_yaml(path / NAME)
    flavors = told.get("flavors") if isinstance(told, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get("onnx"), dict):
        found = ", ".join(map(str, flavors)) if isinstance(flavors, dict) else "none"
        raise ModelError(
            f"The MLflow model {path} has no ONNX flavor (flavors: {found}): convert it to ONNX and save it "
            "with mlflow.onnx.save_model."
        )
    file = path / str(flavors["onnx"].get("data", "model.onnx"))
    if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
        raise ModelError(f"The MLflow model {path} names {file.name}, which is not a file in that folder.")
    return file
