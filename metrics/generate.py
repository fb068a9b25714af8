"""Writes docs/metrics.md and what deploy/ has for Prometheus and Grafana (`make generate`); tests compare it all."""

from pathlib import Path
from typing import Final

from metrics.catalogue import CATALOGUE, OF_PROCESS, Label, Metric, Open
from metrics.dashboards.files import grafana_files
from metrics.prometheus_files import prometheus_files

PAGE: Final = Path(__file__).parent.parent / "docs" / "metrics.md"

_MORE: Final = {
    Open.REFUSALS: "the label of every refusal",
    Open.SESSIONS: "the session's id",
    Open.IDENTITY: "",
    Open.WITNESSES: "the witness's name",
    Open.WORKERS: "the worker's place, from 0",
    Open.COUNTRIES: "`other`, or an ISO 3166-1 alpha-2 code",
}

_HEAD: Final = """<!-- Generated from metrics/catalogue by `make generate`; do not edit. -->
# Metrics

Gateway, ledger and witness each serve `/metrics` on their ops port, in the Prometheus text format. A gateway's numbers
are sums over its worker processes, at most a second old; what workers count does not fall when one is replaced, nor
when another process goes on with the same spool, and what the serving process counts begins at 0 with it. Every outcome
of a counter is there from the start, at 0; of the pairs of route and status those are that tell success and faults.

The sets of label values are closed. No label says anything about one viewer: there is no seat, pseudonym, view, token
or address, and no attribute of an attendee but the country, of which cells of few people are not shown, nor those from
which one would follow. The labels of refusals are the lower-case names in `gateway/reasons.py`,
the same as in an error's `reason` and in a window's leaf.

The event-wide numbers have names of their own, because people who watch two sessions are one attendee: adding up
the sessions gives no number of people.

These numbers are for those who run an event. Nothing that is certified comes from Prometheus: certificates are counted
from the evidence, and a metric may be late, sampled or lost without any certificate changing. How the two paths of the
newest window are compared, and what a small or gappy window means for it, is in
[decision 31](decisions/0031-the-newest-window-is-read-like-an-audit.md).

| metric | type | from | labels | meaning |
|---|---|---|---|---|
"""


_TAIL: Final = """
Of the process that serves `/metrics` itself there is what every client library says, under the same names. A gateway's
workers are processes of their own and are not in it.

| metric | type | meaning |
|---|---|---|
"""


def _label(label: Label) -> str:
    values = ", ".join((*label.values, *filter(None, [_MORE[label.more] if label.more else ""])))
    return f"`{label.name}`" + (f": {values}" if values else "")


def _row(metric: Metric) -> str:
    processes = ", ".join(metric.processes)
    labels = "; ".join(map(_label, metric.labels)) or "–"
    return f"| `{metric.name}` | {metric.kind} | {processes} | {labels} | {metric.help} |\n"


def page() -> str:
    """Return the text of docs/metrics.md."""
    of_process = (f"| `{metric.name}` | {metric.kind} | {metric.help} |\n" for metric in OF_PROCESS)
    return _HEAD + "".join(map(_row, CATALOGUE)) + _TAIL + "".join(of_process)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for path, text in {**prometheus_files(), **grafana_files()}.items():
        path.write_text(text, encoding="utf-8")
