"""The files of deploy/grafana/: four dashboards, and the provisioning by which Grafana finds them and Prometheus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from metrics import scraping
from metrics.dashboards.collection import DASHBOARDS
from metrics.dashboards.grafana import json_of
from metrics.yaml_text import to_yaml

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana"
_HEAD: Final = "# Generated from metrics/dashboards/files.py by `make generate`; do not edit.\n"


def grafana_files() -> Mapping[Path, str]:
    """Return the text of every generated file, by its path."""
    dashboards = {FOLDER / "dashboards" / f"{each.uid}.json": json_of(each) for each in DASHBOARDS}
    return dashboards | {
        FOLDER / "provisioning" / "datasources" / "turnout.yaml": _HEAD + to_yaml(_datasource()),
        FOLDER / "provisioning" / "dashboards" / "turnout.yaml": _HEAD + to_yaml(_provider()),
    }


def _datasource() -> dict[str, Any]:
    # Grafana takes the address from its environment. The interval is what $__rate_interval is made of.
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "turnout-prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": "$TURNOUT_PROMETHEUS_URL",
                "isDefault": True,
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": f"{scraping.INTERVAL_S}s"},
            }
        ],
    }


def _provider() -> dict[str, Any]:
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "turnout",
                "folder": "Turnout",
                "type": "file",
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": "/var/lib/grafana/dashboards"},
            }
        ],
    }
