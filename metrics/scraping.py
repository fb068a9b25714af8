"""What Prometheus scrapes: deploy/prometheus/prometheus.yml as code, and the names by which rules know a process.

Addresses are in `targets/` beside the file, one file for each kind of process, and are read again when they change: the
same prometheus.yml serves a laptop, a compose file and a test. Rules tell processes apart by their job's name, which
may have a namespace before it, as the Prometheus operator writes it: `turnout-gateway`, `show/turnout-gateway`. Events
are told apart by a label of their targets (metrics.promql.EVENT), which the files in `targets/` may give.
"""

from typing import Any, Final

from metrics.catalogue import Process
from metrics.rule import RUNBOOKS, RUNBOOKS_LABEL

INTERVAL_S: Final = 15
"""Between two scrapes, and between two evaluations of the rules. Windows of a minute then have four samples, and what
lasts for half a minute is not seen by chance."""
TIMEOUT_S: Final = 10
"""A gateway that takes this long for its few kilobytes is counted as down."""
RULE_FILES: Final = ("turnout.rules.yml", "turnout.alerts.yml")


def job(process: Process) -> str:
    """Return the name of the job that scrapes such processes."""
    return f"turnout-{process}"


def up(*processes: Process) -> str:
    """Return the selector of `up`, 1 or 0, of all targets that are such processes."""
    return f'up{{job=~"(.*/)?({"|".join(map(job, processes))})"}}'


def prometheus_yml() -> dict[str, Any]:
    """Return the configuration of Prometheus."""
    return {
        "global": {
            "scrape_interval": f"{INTERVAL_S}s",
            "scrape_timeout": f"{TIMEOUT_S}s",
            "evaluation_interval": f"{INTERVAL_S}s",
            "external_labels": {RUNBOOKS_LABEL: RUNBOOKS},
        },
        "rule_files": list(RULE_FILES),
        "alerting": {
            # It is for the alerts' links and says nothing about an alert.
            "alert_relabel_configs": [{"action": "labeldrop", "regex": RUNBOOKS_LABEL}],
            "alertmanagers": [_read("alertmanager")],
        },
        "scrape_configs": [{"job_name": job(process)} | _read(process) for process in Process],
    }


def _read(name: str) -> dict[str, Any]:
    return {"file_sd_configs": [{"files": [f"targets/{name}.yml"], "refresh_interval": "30s"}]}
