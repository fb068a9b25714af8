"""deploy/prometheus/ is what the code generates, promtool takes it, and promtool is seen to refuse what is wrong."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metrics.prometheus_files import FOLDER, prometheus_files
from metrics.yaml_text import to_yaml

Needed = Callable[[str], str]


def promtool(program: str, *arguments: str | Path) -> str:
    """What promtool objects to; "" if it takes it without a word of warning."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return said if done.returncode or "WARNING" in said or "FAILED" in said else ""


@pytest.mark.parametrize("path", prometheus_files(), ids=lambda path: path.name)
def test_every_file_is_what_the_code_generates_and_says_so_first(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == prometheus_files()[path], "run `make generate`"
    assert text.startswith("# Generated from ")


def test_promtool_takes_the_configuration_with_all_that_it_names(needed: Needed) -> None:
    assert promtool(needed("promtool"), "check", "config", FOLDER / "prometheus.yml") == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("scrape_configs:", "scrape_config:"),
        ("scrape_interval: 15s", "scrape_interval: 15"),
        ("scrape_timeout: 10s", "scrape_timeout: 20s"),
        ("turnout.rules.yml", "turnout.rule.yml"),
        ("targets/ledger.yml", "targets/ledgers.yml"),
    ],
)
def test_promtool_refuses_a_wrong_configuration(needed: Needed, tmp_path: Path, right: str, wrong: str) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "prometheus")
    text = (folder / "prometheus.yml").read_text(encoding="utf-8")
    assert right in text
    (folder / "prometheus.yml").write_text(text.replace(right, wrong), encoding="utf-8")
    assert promtool(needed("promtool"), "check", "config", folder / "prometheus.yml") != ""


TREES: list[dict[str, Any]] = [
    {"a": "text", "b": 7, "c": True, "d": {}, "e": [], "f": ""},
    {"list": ["1", "true", "Off", "- x", "a: b", "# c", "'", '"', "*", "a\tb", "é", " a", "a ", "15s", "1e3", "null"]},
    {"groups": [{"name": "x", "rules": [{"expr": "a\n  b\nc", "labels": {"k": "{{ $value }}"}}, {"expr": "up == 0"}]}]},
    {"deep": {"deeper": [{"deepest": [{"x": ["y"]}, "z"]}]}},
]


@pytest.mark.parametrize("tree", TREES)
def test_what_is_written_as_yaml_reads_back_the_same(tree: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(tree)) == tree


def test_what_yaml_has_no_plain_form_for_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        to_yaml({"a": 1.5})
