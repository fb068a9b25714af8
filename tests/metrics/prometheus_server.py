"""A real Prometheus as a process, which scrapes what a test names, with the configuration that deploy/ holds."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from load_tests.ports import free_port
from metrics.catalogue import Process
from tests.faults.parts import Part
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
LASTING_S = 2
"""How long an alert waits here before it fires, whatever it does where it is deployed."""


def configuration(targets: Mapping[Process, Sequence[str]], folder: Path, scrape_s: int) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml with other targets, scraped more often.

    Jobs, relabelling and rules are those that are deployed; only does no alert wait for longer than a scrape or two.
    """
    config: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": f"{scrape_s}s", "evaluation_interval": f"{scrape_s}s"}
    config["global"].pop("scrape_timeout", None)
    config.pop("alerting", None)  # there is nobody to alert
    config["rule_files"] = [str(impatient(DEPLOYED / Path(name).name, folder)) for name in config["rule_files"]]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for process, addresses in targets.items():
        (job,) = (job for name, job in jobs.items() if process in name)
        listed = folder / f"{process}.json"
        listed.write_text(json.dumps([{"targets": [*addresses]}]))
        job["file_sd_configs"] = [{"files": [str(listed)]}]
        job.pop("static_configs", None)
        job.pop("scrape_interval", None)
        job.pop("scrape_timeout", None)
    config["scrape_configs"] = [job for name, job in jobs.items() if any(process in name for process in targets)]
    return config


def impatient(rule_file: Path, folder: Path) -> Path:
    """The same rules, whose alerts fire as soon as they have been true for a scrape or two."""
    rules = yaml.safe_load(rule_file.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = f"{LASTING_S}s"
    copy = folder / rule_file.name
    copy.write_text(yaml.safe_dump(rules))
    return copy


class PrometheusServer(Part):
    """One Prometheus with a database of its own."""

    def __init__(self, folder: Path, targets: Mapping[Process, Sequence[str]], scrape_s: int = 1) -> None:
        folder.mkdir()
        super().__init__("prometheus", folder)
        self._folder = folder
        self._targets = targets
        self._scrape_s = scrape_s
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API; fails with what it says against the query."""
        url = f"{self.url}/api/v1/{path}" + ("?" + urllib.parse.urlencode(parameters) if parameters else "")
        try:
            with urllib.request.urlopen(url, timeout=CERTAIN_S) as answer:  # noqa: S310 - our own server
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{parameters or path}: {json.load(refused)['error']}") from None

    def instant(self, expression: str, at_s: float) -> list[dict[str, Any]]:
        """The series that an expression gives at one time."""
        found: list[dict[str, Any]] = self.get("query", query=expression, time=str(at_s))["result"]
        return found

    def until_scraped(self, since_s: float) -> None:
        """Wait until every target has been scraped after a time (unix s)."""
        wanted = sum(map(len, self._targets.values()))

        def is_so() -> bool:
            return len(self.get("query", query=f"timestamp(up) > {since_s}")["result"]) >= wanted

        until(is_so, f"{wanted} targets are scraped")

    def _command(self) -> list[str | Path]:
        return [
            "prometheus", "--log.level=warn", f"--web.listen-address=127.0.0.1:{self._port}",
            f"--config.file={self._folder / 'prometheus.yml'}", f"--storage.tsdb.path={self._folder / 'data'}",
        ]  # fmt: skip

    def _prepare(self) -> None:
        config = configuration(self._targets, self._folder, self._scrape_s)
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except OSError:
            return False
