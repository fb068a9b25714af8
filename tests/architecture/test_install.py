"""`pip install .` into an empty environment gives a working `turnout`, with every package in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED_SUFFIXES = (".py", ".toml", ".typed", ".json", ".js", ".html", ".css")


def run(*arguments: str | Path, cwd: Path) -> str:
    """Run a program outside the project's own environment; return what it printed, fail with all that it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_empty_environment_gets_a_working_turnout_from_the_locked_versions(tmp_path: Path) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "-w",
        wheels,
        ROOT,
        cwd=tmp_path,
    )
    (wheel,) = wheels.glob("turnout-*.whl")
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    pip = (environment / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt", cwd=tmp_path)
    run(*pip, "--no-deps", wheel, cwd=tmp_path)

    run(environment / "bin" / "python", "-m", "pip", "check", cwd=tmp_path)
    shown = run(environment / "bin" / "turnout", "--help", cwd=tmp_path)
    for command in ("up", "gateway", "ledger", "certify", "verify", "token", "demo"):
        assert f"  {command} " in shown
        run(environment / "bin" / "turnout", command, "--help", cwd=tmp_path)


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_every_package_and_nothing_else(tmp_path: Path) -> None:
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "-w",
        tmp_path,
        ROOT,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("turnout-*.whl")
    packages = ("gateway", "counters", "metrics", "deploy", "load_tests")
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in TRACKED_SUFFIXES
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected
