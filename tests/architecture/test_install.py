"""`pip install .` into an empty environment gives a working `turnout`, with every package in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "counters", "metrics", "deploy", "load_tests")


def run(*arguments: str | Path, cwd: Path) -> str:
    """Run a program outside the project's own environment; return what it printed, fail with all that it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip builds it, with the locked build tools of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", folder)
    run(sys.executable, *build, ROOT, cwd=folder)
    (built,) = folder.glob("turnout-*.whl")
    return built


@pytest.mark.slow
def test_an_empty_environment_gets_a_working_turnout_from_the_locked_versions(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "environment", cwd=tmp_path)
    binaries = tmp_path / "environment" / "bin"
    install = (binaries / "python", "-m", "pip", "install", "--quiet")
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt", cwd=tmp_path)
    run(*install, "--no-deps", wheel, cwd=tmp_path)

    run(binaries / "python", "-m", "pip", "check", cwd=tmp_path)
    shown = run(binaries / "turnout", "--help", cwd=tmp_path)
    for command in ("up", "gateway", "ledger", "certify", "verify", "token", "demo"):
        assert f"  {command} " in shown
        run(binaries / "turnout", command, "--help", cwd=tmp_path)


def test_the_wheel_holds_every_file_of_every_package_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected
