"""What a witness knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import Metric, Process
from metrics.readings import Durations, Reading


@dataclass(frozen=True, slots=True)
class WitnessSnapshot:
    """A witness at one moment; `cosigned_s` is unix seconds, None = nothing cosigned since its start."""

    process: ClassVar[Process] = Process.WITNESS

    version: str
    requests: Mapping[tuple[str, str], float]  # by route and status
    request_durations: Mapping[str, Durations]  # by route
    verdicts: Mapping[str, int]  # requests to cosign, by what was said
    logs: int
    cosigned_s: float | None

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a witness."""
        yield catalogue.BUILD_INFO, {self.version: 1}
        yield catalogue.HTTP_REQUESTS, self.requests
        yield catalogue.HTTP_DURATION, self.request_durations
        yield catalogue.WITNESS_REQUESTS, self.verdicts
        yield catalogue.WITNESS_LOGS, self.logs
        yield catalogue.WITNESS_COSIGNED, self.cosigned_s
