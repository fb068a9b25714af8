"""The files for Prometheus that are generated: the configuration, the rules, the alerts and their tests.

In deploy/prometheus/; and rules and alerts once more as the Prometheus operator of a Kubernetes cluster takes them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from metrics.alerts import alerts_yml, cases_yml
from metrics.rules import rules_yml
from metrics.scraping import RULE_FILES, prometheus_yml
from metrics.yaml_text import to_yaml

FOLDER: Final = Path(__file__).parent.parent / "deploy" / "prometheus"
FOR_THE_OPERATOR: Final = FOLDER.parent / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"
_HEAD: Final = "# Generated from {source} by `make generate`; do not edit.\n"


def prometheus_files() -> Mapping[Path, str]:
    """Return the text of every generated file, by its path."""
    rules, alerts = RULE_FILES
    return {
        FOLDER / "prometheus.yml": _text("metrics/scraping.py", prometheus_yml()),
        FOLDER / rules: _text("metrics/rules.py", rules_yml()),
        FOLDER / alerts: _text("metrics/alerts.py", alerts_yml()),
        FOLDER / "turnout.tests.yml": _text("metrics/alerts.py", cases_yml()),
        FOR_THE_OPERATOR: _text("metrics/prometheus_files.py", _operator_rule(rules_yml(), alerts_yml())),
    }


def _operator_rule(*files: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "turnout"},
        "spec": {"groups": [group for file in files for group in file["groups"]]},
    }


def _text(source: str, tree: Mapping[str, Any]) -> str:
    return _HEAD.format(source=source) + to_yaml(tree)
