"""What a running Turnout says of itself: the samples of its /metrics."""

from http.client import HTTPConnection
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

SCRAPE_S = 10.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by sample name and labels."""


def scrape(url: str) -> Samples:
    """Return all samples at `url`. Raises OSError, or RuntimeError if it does not answer 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=SCRAPE_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{url} answers {answer.status}")
    families = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float | None:
    """Return the sum of all samples of a name that have these labels; None if there is none."""
    wanted = set(labels.items())
    found = [value for (sample, having), value in samples.items() if sample == name and wanted <= having]
    return sum(found) if found else None
