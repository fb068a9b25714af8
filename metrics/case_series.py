"""Input series that the cases of many alerts share: a schedule before, in and after its doors, and who is who."""

from typing import Final

from metrics.catalogue import SESSION_ENDS, SESSION_STARTS, Metric, Process
from metrics.rule import series
from metrics.scraping import job

GATEWAY: Final = {"instance": "gateway-1"}
LEDGER: Final = {"instance": "ledger"}


def flat(metric: Metric, values: str, **labels: str) -> dict[str, str]:
    """Return one input series."""
    return {series(metric, **labels): values}


def up_series(process: Process, instance: str) -> str:
    """Return the name of Prometheus' own series about one target."""
    return f'up{{job="{job(process)}",instance="{instance}"}}'


def _schedule(starts_s: int, ends_s: int) -> dict[str, str]:
    return flat(SESSION_STARTS, f"{starts_s}x1000", session="opening", **LEDGER) | flat(
        SESSION_ENDS, f"{ends_s}x1000", session="opening", **LEDGER
    )


OPEN: Final = _schedule(60, 100_000)
"""A session runs; every case begins at time 0."""
CLOSED: Final = _schedule(90_000, 100_000)
"""The first session is tomorrow."""
OVER: Final = _schedule(-9_000, 60)
"""The last session ended in the first minute: the doors close a quarter of an hour later."""
