"""Contenders take turns under the same load; what each of them used meanwhile."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from load_tests.bench import wrk
from load_tests.bench.contenders import Contender
from load_tests.bench.spread import Spread, spread
from load_tests.http_client import Address

CHECK_S: Final = 1
SETTLE_S: Final = 0.3
"""Lets a server finish with the connections of the run before."""


class Client(Protocol):
    """Loads a server."""

    def load(self, address: Address, seconds: int, *, check: bool = False) -> wrk.Run:
        """Send requests for so long, one after another on each connection; look at every status if `check`."""


@dataclass(frozen=True, slots=True)
class Round:
    """One server's turn."""

    server: str
    cpu_us: float  # CPU time of the server process per request
    beside_us: float  # CPU time of the processes beside it per request
    requests_a_second: float
    busy: float  # share of its core that the server process had
    p99_us: int
    requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All turns of one server."""

    server: str
    cpu_us: Spread
    beside_us: Spread
    requests_a_second: Spread
    busy: Spread
    p99_us: Spread
    requests: int  # all together


def summarise(rounds: Sequence[Round]) -> list[Summary]:
    """Return medians and spread by server, cheapest first."""
    names = list(dict.fromkeys(turn.server for turn in rounds))
    summaries = []
    for name in names:
        turns = [turn for turn in rounds if turn.server == name]
        summaries.append(
            Summary(
                name,
                spread(turn.cpu_us for turn in turns),
                spread(turn.beside_us for turn in turns),
                spread(turn.requests_a_second for turn in turns),
                spread(turn.busy for turn in turns),
                spread(turn.p99_us for turn in turns),
                sum(turn.requests for turn in turns),
            )
        )
    return sorted(summaries, key=lambda summary: summary.cpu_us.median)


def admit(contender: Contender, client: Client) -> None:
    """Warm a server up and look at every status. Raises RuntimeError if one is not 204."""
    _sound(contender, client.load(contender.server.address, CHECK_S, check=True))


def measure(contender: Contender, client: Client, seconds: int, *, tokens: int) -> Round:
    """Give a server its turn; the client sends so many different tokens.

    Raises RuntimeError if an answer was an error, or if a heartbeat that was answered was not counted.
    """
    server = contender.server
    time.sleep(SETTLE_S)
    contender.counting.begin()
    before, beside = server.cpu_s(), server.beside_cpu_s()
    found = _sound(contender, client.load(server.address, seconds))
    cpu_s, beside_s = server.cpu_s() - before, server.beside_cpu_s() - beside
    if fault := contender.counting.fault(found.requests, tokens):
        raise RuntimeError(f"{server.name}: {fault}")
    return Round(
        server.name,
        cpu_s * 1e6 / found.requests,
        beside_s * 1e6 / found.requests,
        found.requests * 1e6 / found.duration_us,
        cpu_s * 1e6 / found.duration_us,
        found.p99_us,
        found.requests,
    )


def _sound(contender: Contender, found: wrk.Run) -> wrk.Run:
    if not found.sound:
        raise RuntimeError(f"{contender.server.name} does not answer everything with 204: {found}")
    return found


def take_turns(field: Sequence[Contender], client: Client, rounds: int, seconds: int, *, tokens: int) -> list[Round]:
    """Return all turns; each round begins with another contender. Raises RuntimeError."""
    for contender in field:
        admit(contender, client)
    return [
        measure(contender, client, seconds, tokens=tokens)
        for turn in range(rounds)
        for contender in [*field[turn % len(field) :], *field[: turn % len(field)]]
    ]
