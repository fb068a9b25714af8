"""Who takes part: Turnout and its peers, all up at once, each with a way to see that it really counted."""

import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from load_tests.bench import peer_redis
from load_tests.bench.peers import PEERS, MissingError, Peer
from load_tests.bench.scrape import scrape, total
from load_tests.bench.servers import Server, Turnout, turnout

COUNTED_S: Final = 5.0
"""Within this time after the last answer all of it must have been counted; Turnout's metrics are read each second."""
DISTINCT_ERROR: Final = 0.05
"""A HyperLogLog of a few hundred tokens is off by less than a tenth of this."""


class Counting(Protocol):
    """Sees how many heartbeats a contender has counted."""

    def begin(self) -> None:
        """Begin at zero."""

    def fault(self, answered: int, tokens: int) -> str:
        """Return why what was counted cannot be right after so many answers, so many different tokens; "" if it is."""


class CountsNothing:
    """A contender that only answers."""

    def begin(self) -> None:
        """Do nothing."""

    def fault(self, answered: int, tokens: int) -> str:  # noqa: ARG002 - the protocol's
        """Return ""."""
        return ""


class InRedis:
    """A peer that counts with PFADD. Owns what is in the Redis while it has its turn."""

    def __init__(self, redis: peer_redis.PeerRedis) -> None:
        self._redis = redis

    def begin(self) -> None:
        """Empty the Redis."""
        self._redis.forget()

    def fault(self, answered: int, tokens: int) -> str:
        """See that there was a PFADD for each answer, and that the keys hold the tokens."""
        calls, distinct = self._redis.counted()
        if calls < answered:
            return f"{answered:,} heartbeats answered, but only {calls:,} PFADDs"
        if abs(distinct - tokens) > DISTINCT_ERROR * tokens:
            return f"{tokens} different tokens sent, but PFCOUNT says {distinct}"
        return ""


class InTurnout:
    """Turnout's own count, as its /metrics say."""

    def __init__(self, metrics: str) -> None:
        self._metrics = metrics
        self._before = 0.0

    def _accepted(self) -> float:
        return total(scrape(self._metrics), "turnout_heartbeats_total", outcome="playing") or 0.0

    def begin(self) -> None:
        """Remember where the counter stands."""
        self._before = self._accepted()

    def fault(self, answered: int, tokens: int) -> str:  # noqa: ARG002 - its exact distinct count is in the evidence
        """See that every answer is in the counter."""
        deadline = time.monotonic() + COUNTED_S
        while (counted := self._accepted() - self._before) < answered:
            if time.monotonic() > deadline:
                return f"{answered:,} heartbeats answered, but only {counted:,.0f} counted"
            time.sleep(0.1)
        return ""


@dataclass(frozen=True, slots=True)
class Contender:
    """One that takes part."""

    server: Server
    counting: Counting
    peer: Peer | None  # None for Turnout itself


@dataclass(frozen=True, slots=True)
class Field:
    """All that take part, Turnout first."""

    turnout: Turnout
    contenders: list[Contender]
    skipped: list[str]  # a sentence each
    redis_version: str


@contextmanager
def field(only: Collection[str] | None = None, *, unix: bool = False) -> Iterator[Field]:
    """Run Turnout and all peers (or those named in `only`) that can run here; `unix`: with their Redis on a socket.

    Raises RuntimeError or ServerFailedError if one does not start although its programs are here.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        wanted = [peer for peer in PEERS if only is None or peer.name in only]
        redis = None
        if any(peer.pfadd for peer in wanted) and (program := peer_redis.program()):
            redis = stack.enter_context(peer_redis.running(program, _folder(scratch, "redis"), unix=unix))
        ours = stack.enter_context(turnout(_folder(scratch, "turnout")))
        contenders = [Contender(ours.server, InTurnout(ours.running.metrics), None)]
        skipped = []
        for number, peer in enumerate(wanted):
            if peer.pfadd and redis is None:
                skipped.append(f"{peer.name} is not measured: there is no {' or '.join(peer_redis.PROGRAMS)}")
                continue
            try:
                server = stack.enter_context(
                    peer.start(_folder(scratch, f"peer-{number}"), redis.address if redis else "")
                )
            except MissingError as missing:
                skipped.append(f"{peer.name} is not measured: {missing}")
                continue
            if peer.pfadd and redis:
                contenders.append(Contender(replace(server, beside=(redis.pid,)), InRedis(redis), peer))
            else:
                contenders.append(Contender(server, CountsNothing(), peer))
        yield Field(ours, contenders, skipped, redis.version if redis else "")


def _folder(scratch: Path, name: str) -> Path:
    folder = scratch / name
    folder.mkdir()
    return folder
