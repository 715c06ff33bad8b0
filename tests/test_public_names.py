"""The fixed public surface: names, signatures and fields that others rely on."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import blackbox as bb


def test_all_lists_every_public_name_and_no_other():
    names = {name: value for name, value in vars(bb).items() if not name.startswith("_")}
    public = {name for name, value in names.items() if not inspect.ismodule(value)}
    assert public == set(bb.__all__)


def test_explain_has_the_documented_signature():
    parameters = inspect.signature(bb.explain).parameters
    defaults = {name: p.default for name, p in parameters.items()}
    assert list(parameters) == [
        "model", "x", "method", "target", "scale", "features", "background", "seed",
    ]  # fmt: skip
    assert (defaults["method"], defaults["seed"]) == ("kernelshap", 0)
    assert all(defaults[name] is None for name in ("target", "scale", "features", "background"))


def test_open_model_has_the_documented_signature():
    parameters = inspect.signature(bb.open_model).parameters
    assert list(parameters) == ["source", "device", "options"]
    assert parameters["device"].default == "auto"


def test_an_explanation_has_the_documented_fields():
    fields = {field.name for field in dataclasses.fields(bb.Explanation)}
    assert fields >= {
        "values", "base_values", "full_values", "feature_names", "output_names", "data", "lower_bounds",
        "upper_bounds", "rows", "rows_shared", "outcome", "details",
    }  # fmt: skip
    for verb in ("to_json", "from_json", "to_shap"):
        assert callable(getattr(bb.Explanation, verb))


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("occlusion", "Occlusion"), ("lime", "Lime"), ("kernelshap", "KernelShap"), ("sis", "Sis"),
        ("rise", "Rise"),
        ("cafo", "Cafo"), ("caso", "Caso"), ("saliency", "Saliency"), ("smoothgrad", "SmoothGrad"),
        ("gradient-x-input", "GradientXInput"), ("integrated-gradients", "IntegratedGradients"),
    ],
)
def test_the_register_maps_names_to_exported_settings(name, cls):
    assert bb.METHODS[name] is getattr(bb, cls)
    assert bb.METHODS[name].name == name


def test_settings_are_frozen_dataclasses_without_inheritance():
    for cls in bb.METHODS.values():
        assert cls.__dataclass_params__.frozen
        assert cls.__bases__ == (object,)


def test_an_outcome_is_a_sentence():
    for outcome in bb.Outcome:
        assert str(outcome).endswith(".")
        assert str(outcome)[0].isupper()


def test_every_public_name_has_a_docstring():
    for name in bb.__all__:
        if name != "METHODS":
            assert inspect.getdoc(getattr(bb, name)), name
