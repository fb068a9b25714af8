"""What a witness knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import Metric, Process
from metrics.readings import Reading


@dataclass(frozen=True, slots=True)
class WitnessSnapshot:
    """A witness at one moment; `cosigned_s` is unix seconds, None = nothing cosigned since its start."""

    process: ClassVar[Process] = Process.WITNESS

    version: str
    requests: Mapping[str, int]
    logs: int
    cosigned_s: float | None

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a witness."""
        yield catalogue.BUILD_INFO, {self.version: 1}
        yield catalogue.HTTP_REQUESTS, None
        yield catalogue.HTTP_DURATION, None
        yield catalogue.WITNESS_REQUESTS, self.requests
        yield catalogue.WITNESS_LOGS, self.logs
        yield catalogue.WITNESS_COSIGNED, self.cosigned_s
