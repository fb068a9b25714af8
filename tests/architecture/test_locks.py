"""requirements/*.txt are in step with pyproject.toml, package-lock.json with package.json: all pinned, with hashes."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
FILES = ("runtime", "demo", "dev", "build")
ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>\S+)(?: ; [^\\\n]+)? \\\n(?:    --hash=.*\n?)+",
    re.MULTILINE,
)


def pinned(text: str) -> dict[str, set[str]]:
    """Return the versions that a lock file pins by canonical name; two where they depend on the Python version."""
    pins: dict[str, set[str]] = {}
    for entry in ENTRY.finditer(text):
        pins.setdefault(canonicalize_name(entry["name"]), set()).add(entry["version"])
    return pins


def faults(text: str) -> list[str]:
    """Return the lines of a lock file that are neither a comment nor part of a pinned, hashed entry."""
    rest = ENTRY.sub("", text)
    return [line for line in rest.splitlines() if line and not line.startswith("#")]


def lock(name: str) -> str:
    return (LOCKS / f"{name}.txt").read_text(encoding="utf-8")


def declared() -> dict[str, list[Requirement]]:
    """Return what pyproject.toml asks for, by lock file."""
    file = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = file["project"]
    runtime = project["dependencies"]
    extras = project["optional-dependencies"]
    wanted = {
        "runtime": runtime,
        "demo": runtime + extras["embedded"] + extras["report"],
        "dev": runtime + [text for texts in extras.values() for text in texts],
        "build": file["build-system"]["requires"],
    }
    parsed = {name: [Requirement(text) for text in texts] for name, texts in wanted.items()}
    return {name: [wish for wish in wishes if wish.name != "turnout"] for name, wishes in parsed.items()}


@pytest.mark.parametrize("name", FILES)
def test_every_dependency_is_locked_at_a_version_within_its_range(name: str) -> None:
    pins = pinned(lock(name))
    for wish in declared()[name]:
        versions = pins.get(canonicalize_name(wish.name), set())
        assert versions, f"{wish.name} is not in requirements/{name}.txt: run `make lock`"
        assert all(wish.specifier.contains(version) for version in versions), (wish, versions)


@pytest.mark.parametrize("name", FILES)
def test_every_line_is_a_pinned_version_with_its_hashes(name: str) -> None:
    assert faults(lock(name)) == []
    assert len(pinned(lock(name))) > 1


@pytest.mark.parametrize("name", FILES)
def test_no_lock_file_says_where_to_download_from(name: str) -> None:
    assert not re.search(r"https?:|file:|--index-url|--extra-index-url|--find-links|@ ", lock(name))


def test_all_lock_files_agree_and_the_larger_contain_the_smaller() -> None:
    runtime, demo, dev, build = (pinned(lock(name)) for name in FILES)
    assert runtime.items() <= demo.items()
    assert demo.items() <= dev.items()
    assert build.items() <= dev.items()


@pytest.mark.parametrize(
    "line",
    [
        "aiohttp==3.14.5\n",
        "aiohttp>=3 \\\n    --hash=sha256:00\n",
        "--find-links /somewhere\n",
        "-e .\n",
    ],
)
def test_an_unpinned_or_unhashed_line_is_found(line: str) -> None:
    assert faults(line)


def test_an_entry_with_a_marker_is_read() -> None:
    text = "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    assert (pinned(text), faults(text)) == ({"numpy": {"2.4.6"}}, [])


def test_the_node_peer_of_the_bench_is_locked_by_version_and_hash_and_by_no_address() -> None:
    folder = ROOT / "load_tests" / "peers" / "fastify_pfadd"
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    text = (folder / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    for name, version in wanted["dependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert packages.pop("")["dependencies"] == wanted["dependencies"]
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert not re.search(r"https?:|file:|resolved", text)
