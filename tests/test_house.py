"""The house rules that a machine can check: floors, rooms, the garden, sizes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "blackbox"
GARDEN = ROOT / "adapters" / "blackbox_adapters"
BELLS = ROOT / "plugins" / "blackbox_plugins"

FLOORS = [
    ["cli"],
    ["service"],
    ["auditing"],
    ["replay"],
    ["comparing"],
    ["comparing_decisions"],
    ["campaign"],
    ["evidence"],
    ["report"],
    ["forecast"],
    ["tally"],
    ["records"],
    ["examination"],
    ["compare", "mistakes"],
    ["comparison"],
    ["profile"],
    ["lockstep"],
    ["study"],
    ["materials", "draft"],
    ["ruling"],
    ["plan_files", "schema"],
    ["plan"],
    ["opening"],
    ["plan_model", "plan_reasons"],
    ["strict"],
    ["messages"],
    ["checks", "impact"],
    ["subsets"],
    ["decisions"],
    ["codes", "footing", "populations", "reasons"],
    ["api"],
    ["case"],
    ["methods"],
    ["pool"],
    ["second_order"],
    ["hessians"],
    ["gradients"],
    ["derivatives"],
    ["displacements"],
    ["players", "owen"],
    ["game"],
    ["fill", "fused", "memory"],
    ["backgrounds"],
    ["features", "inputs"],
    ["probe"],
    ["score"],
    ["interop"],
    ["explanation", "model"],
    ["threshold", "searches", "clusters", "mlmodel"],
    ["cache"],
    ["casts", "diagnosis", "files", "operators", "privacy", "seeds", "settings", "watcher", "yamls"],
    ["canonical"],
    ["errors"],
    ["numerics"],
]
"""From the doors down to the cellar; a name is a file or a folder of blackbox/."""

LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
GROUND = {"model", "errors", "settings", "seeds", "cache", "casts", "diagnosis", "explanation"}
FREE = {("blackbox", "__version__"), ("blackbox", "cli")}

LONGEST_FILE = 300
LONGEST_BODY = 50


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> list[str]:
    """Every blackbox module that a file imports at run time, as dotted names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] in ("blackbox", "blackbox_adapters")]


def room(dotted: str) -> str:
    return dotted.split(".")[1]


def home(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_from_floors_below(path):
    if path == PACKAGE / "__init__.py":
        return
    for dotted in imported(path):
        assert not dotted.startswith("blackbox_adapters"), f"{path.name} imports the garden"
        if dotted == "blackbox.__version__" or room(dotted) == home(path):
            continue
        # interop is reached from the record's to_shap(), inside the function: it looks down at the record
        if (home(path), room(dotted)) == ("explanation", "interop"):
            continue
        assert LEVEL[home(path)] < LEVEL[room(dotted)], f"{path.name} ({home(path)}) looks up at {dotted}"


def test_every_file_of_the_house_has_a_floor():
    names = {home(path) for path in sources(PACKAGE)} - {"__init__"}
    assert names == set(LEVEL)


@pytest.mark.parametrize("path", sources(PACKAGE / "methods"), ids=lambda p: p.stem)
def test_no_room_has_a_door_to_another_room(path):
    if path.stem == "__init__":
        return
    doors = [name for name in imported(path) if name.startswith("blackbox.methods")]
    assert doors == []


@pytest.mark.parametrize("path", sources(GARDEN), ids=lambda p: str(p.relative_to(GARDEN)))
def test_the_garden_knows_only_the_ground_floor(path):
    for dotted in imported(path):
        if dotted.startswith("blackbox."):
            assert room(dotted) in GROUND, f"{path.name} imports {dotted}"


@pytest.mark.parametrize("path", sources(BELLS), ids=lambda p: p.stem)
def test_the_bells_import_blackbox_only_when_they_are_rung(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "blackbox" for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] != "blackbox"


@pytest.mark.parametrize("path", sources(PACKAGE) + sources(GARDEN) + sources(BELLS), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_bodies_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= LONGEST_BODY, f"{path.name}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", sources(PACKAGE) + sources(GARDEN) + sources(BELLS), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_explains_itself_in_its_first_sentence(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sources(PACKAGE) + sources(GARDEN) + sources(BELLS), ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_take_no_loose_keywords_and_nothing_prints(path):
    doors = path.parent.name == "cli"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        foreign = path.stem == "for_mlflow"  # MLflow's protocol prescribes them
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not doors and not foreign:
            assert node.args.kwarg is None, f"{path.name}: {node.name} takes **{node.args.kwarg.arg}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            raise AssertionError(f"{path.name}:{node.lineno} prints")


def test_no_file_is_named_after_nothing():
    for path in sources(PACKAGE) + sources(GARDEN) + sources(BELLS):
        assert path.stem not in ("utils", "base", "common", "helpers", "manager", "misc")


def test_inheritance_is_for_errors_protocols_and_foreign_frameworks():
    allowed = {"Protocol", "Exception", "Enum", "BaseModel", "ClickException", "Group", "SafeLoader", "SafeDumper"}
    ours = {"BlackboxError", "RequestError", "_Strict"}
    for path in sources(PACKAGE) + sources(GARDEN) + sources(BELLS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {getattr(b, "id", getattr(b, "attr", "")) for b in node.bases}
                assert bases <= allowed | ours, f"{path.name}: {node.name} inherits from {bases}"
