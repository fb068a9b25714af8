"""The shape of the code: which folders there are, how long a module may be, and what no module is called."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("counters", "deploy", "gateway", "load_tests", "metrics")
MODULE_LINES = 450
"""Around 400 a module usually hides a second idea; the rest is for byte formats with their worked example."""
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base", "core", "lib"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def too_long(path: Path) -> bool:
    return len(path.read_text(encoding="utf-8").splitlines()) > MODULE_LINES


def nameless(path: Path) -> bool:
    return path.stem in NAMELESS or path.parent.name in NAMELESS


def test_the_top_level_code_folders_are_exactly_these() -> None:
    ignored = {
        line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split() if line.endswith("/")
    }
    folders = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in ignored and any(path.rglob("*.py"))
    }
    assert folders == {*CODE, "tests"}
    assert (ROOT / "docs").is_dir()


def test_no_python_file_lies_beside_the_folders() -> None:
    assert list(ROOT.glob("*.py")) == []


def test_no_module_is_long_enough_to_hide_a_second_idea() -> None:
    assert [str(path.relative_to(ROOT)) for path in python_files(*CODE) if too_long(path)] == []


def test_a_long_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * (MODULE_LINES + 1))
    assert too_long(tmp_path / "long.py")


def test_every_module_is_named_after_its_idea() -> None:
    assert [str(path.relative_to(ROOT)) for path in python_files(*CODE, "tests") if nameless(path)] == []


@pytest.mark.parametrize("path", ["counters/utils.py", "gateway/common/tokens.py", "metrics/manager.py"])
def test_a_module_without_an_idea_is_found(path: str) -> None:
    assert nameless(Path(path))


def test_every_code_folder_is_a_typed_package_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(CODE)
    for folder in CODE:
        assert (ROOT / folder / "py.typed").is_file(), folder
        holding = {path.parent for path in python_files(folder)}
        assert [str(path) for path in holding if not (path / "__init__.py").is_file()] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*CODE)
        if path.name != "__init__.py" and not path.read_text(encoding="utf-8").startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_test_folders_mirror_the_code_and_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    mirrored = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("**/test_*.py"))}
    assert mirrored - {"architecture", "end_to_end", "faults", "fuzz"} <= set(CODE)
