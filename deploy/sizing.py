"""What an audience needs: requests, cores, memory, disk and network, worked out from what was measured.

Every constant is a figure of docs/performance.md, of two cores of one virtual machine: a plan says what to rent and
measure, not what will be. `turnout plan` prints it for an audience; docs/sizing.md, generated, has it for several.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent.parent / "docs" / "sizing.md"
AUDIENCES: Final = (10_000, 100_000, 1_000_000, 10_000_000, 40_000_000)

HEARTBEAT_CPU_S: Final = 19.7e-6
"""Of a worker, one heartbeat, behind a proxy that ends TLS (docs/performance.md, TLS: kept connection)."""
JOIN_CPU_S: Final = 240e-6
"""Of a worker, one join with an ES256 ticket: 230 µs, and 10 µs for traffic flags and the retained ticket (Joins)."""
PROXY_CPU_S: Final = 35.6e-6
"""Of nginx, one heartbeat on a kept TLS 1.3 connection (TLS)."""
HANDSHAKE_CPU_S: Final = 562e-6
"""Of nginx, one full TLS 1.3 handshake (TLS)."""
CONNECTION_BYTES: Final = 2_153
"""Of a worker, a connection with a head of its own (Ten thousand connections)."""
WORKER_BYTES: Final = 120_000_000
"""Of a worker before its first connection, with room to spare."""
LOAD: Final = 0.5
"""How busy a worker may be with heartbeats: latency was measured at half of saturation."""
HEARTBEAT_WIRE_BYTES: Final = 640 + 350
"""A browser's request and our answer, without TLS and TCP (One heartbeat)."""
SPOOL_RECORD_BYTES: Final = 8
"""A heartbeat in the spool (counters.spool)."""
EVIDENCE_BYTES: Final = 400
"""An attendee's share of 16 GB at 40 million attendees, three days of eight hours (A certificate of forty million)."""
TICKET_BYTES: Final = 374
"""A retained ticket of 422 characters (A certificate of forty million)."""
SEAT_BYTES: Final = 25
"""Of the registry's Redis, a seat; and of each of its hashes (tests/counters/test_registry.py)."""
HASH_BYTES: Final = 100
HASHES: Final = 1 << 18
SEAT_FILE_BYTES: Final = 48
"""Of the registry's append-only file, a seat, once rewritten."""
WATCHED_SESSION_BYTES: Final = 2_600_000
"""Of the live Redis, a session that is watched for a quarter of an hour (The flush to Redis)."""
CERTIFY_BASE_BYTES: Final = 600_000_000
"""Of `turnout certify` at a million attendees; it grows to 6.5 GB at 40 million."""
CERTIFY_BYTES: Final = 147
"""Of each attendee above that."""
CERTIFY_BASE_S: Final = 39.0
"""Of three days' windows; with it 48 s of CPU at a million attendees, 394 s at 40 million (the same section)."""
CERTIFY_CPU_S: Final = 8.9e-6
"""Of each attendee."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who comes, and how."""

    viewers: int  # at the same time
    attendees: int  # in the whole event
    sessions: int = 25  # at the same time
    interval_s: int = 30  # between two heartbeats of a player
    arrive_s: int = 300  # in which all of them join
    outage_s: int = 3600  # for which gateways shall hold what the ledger cannot take


@dataclass(frozen=True, slots=True)
class Needs:
    """What it takes. Cores are whole ones of the measured kind; bytes are bytes."""

    heartbeats_s: float  # a second
    joins_s: float  # a second, while all arrive
    gateway_cores: int
    gateway_bytes: int  # memory of all workers
    proxy_cores: int
    network_bits_s: float
    spool_bytes: int  # disk of all gateways, for an outage of the ledger
    ledger_bytes: int  # disk: evidence of three days, and retained tickets
    registry_bytes: int  # memory
    registry_file_bytes: int
    live_bytes: int  # memory
    certify_bytes: int  # memory
    certify_s: float  # on two cores


def needs_of(audience: Audience) -> Needs:
    """Return what an audience needs.

    While all arrive, joins take what heartbeats leave: they wait for their turn, and nobody's heartbeat waits for them.
    """
    heartbeats = audience.viewers / audience.interval_s
    joins = audience.viewers / audience.arrive_s
    busy = heartbeats * HEARTBEAT_CPU_S
    cores = _cores(max(busy / LOAD, busy + joins * JOIN_CPU_S))
    proxy = heartbeats * PROXY_CPU_S
    seats = audience.attendees
    beyond = max(seats - 1_000_000, 0)
    return Needs(
        heartbeats_s=heartbeats,
        joins_s=joins,
        gateway_cores=cores,
        gateway_bytes=cores * WORKER_BYTES + audience.viewers * CONNECTION_BYTES,
        proxy_cores=_cores(max(proxy / LOAD, proxy + joins * HANDSHAKE_CPU_S)),
        network_bits_s=heartbeats * HEARTBEAT_WIRE_BYTES * 8,
        spool_bytes=math.ceil(heartbeats * audience.outage_s * SPOOL_RECORD_BYTES),
        ledger_bytes=seats * (EVIDENCE_BYTES + TICKET_BYTES),
        registry_bytes=seats * SEAT_BYTES + min(seats, HASHES) * HASH_BYTES,
        registry_file_bytes=seats * SEAT_FILE_BYTES,
        live_bytes=audience.sessions * WATCHED_SESSION_BYTES,
        certify_bytes=CERTIFY_BASE_BYTES + beyond * CERTIFY_BYTES,
        certify_s=CERTIFY_BASE_S + seats * CERTIFY_CPU_S,
    )


def rows(needs: Needs) -> Iterator[tuple[str, str]]:
    """Yield what is needed as (what, how much), for people."""
    yield "heartbeats a second", f"{needs.heartbeats_s:,.0f}"
    yield "joins a second while all arrive", f"{needs.joins_s:,.0f}"
    yield "cores of gateways (= workers)", f"{needs.gateway_cores:,}"
    yield "memory of gateways", amount(needs.gateway_bytes)
    yield "cores of load balancers that end TLS", f"{needs.proxy_cores:,}"
    yield "network, without TLS and TCP", f"{amount(needs.network_bits_s, 'bit')}/s"
    yield "spool disk of gateways", amount(needs.spool_bytes)
    yield "disk of the ledger", amount(needs.ledger_bytes)
    yield "registry Redis, memory", amount(needs.registry_bytes)
    yield "registry Redis, append-only file", amount(needs.registry_file_bytes)
    yield "live Redis, memory", amount(needs.live_bytes)
    yield "certify and verify, memory", amount(needs.certify_bytes)
    yield "certify on two cores", f"{needs.certify_s:,.0f} s"


def amount(number: float, unit: str = "B") -> str:
    """Return a number of bytes or bits in a unit that people read: 1.3 GB."""
    prefixes = ("", "k", "M", "G", "T")
    at = min(int(math.log10(number) // 3), len(prefixes) - 1) if number >= 1 else 0
    scaled = number / 1000**at
    return f"{scaled:,.{1 if scaled < 10 and at else 0}f} {prefixes[at]}{unit}"


def _cores(cores: float) -> int:
    return max(math.ceil(cores), 1)


_HEAD: Final = """<!-- Generated from deploy/sizing.py by `make generate`; do not edit. -->
# Sizing

What an audience needs, worked out from what was [measured](performance.md) on two cores of one virtual machine. Rent
that, then [measure](load-tests.md) on it: your cores are not these.

```sh
turnout plan --viewers 250000 --attendees 600000
```

Here everybody who attends watches at the same time, heartbeats come every 30 s, all arrive within five minutes with
ES256 tickets, 25 sessions run side by side, gateways can hold what they have for an hour without the ledger, and the
event lasts three days of eight hours with tickets retained for an audit of the roll.

"""
_FOOT: Final = """
- Gateways run at half of what they can do, or at all of it while everybody arrives: joins then wait for their turn, and
  heartbeats do not. One worker a core; leave a core of each host to its supervisor and the kernel.
- A load balancer that ends TLS costs more than the gateway behind it. A kept connection is what makes it affordable: a
  handshake costs as much as sixteen heartbeats. Its memory for open TLS connections was not measured.
- Under pressure `turnout steer EVENT.toml --interval 54` takes almost half of the heartbeats away within a minute.
- [Relays](relays.md) at the edge, in batches of a thousand, make a heartbeat twelve times cheaper for the gateways.
- The ledger needs one core for sealing (a window of nine million records is a second of CPU) and two for certifying;
  a Redis of either kind less than one: their load grows with joins and with sessions, not with viewers.
- Nothing here was tried on several hosts and a real network: see [what is not measured](performance.md).
"""


def page() -> str:
    """Return the text of docs/sizing.md."""
    columns = [list(rows(needs_of(Audience(viewers, viewers)))) for viewers in AUDIENCES]
    lines = ["| viewers at the same time | " + " | ".join(f"{viewers:,}" for viewers in AUDIENCES) + " |"]
    lines.append("|---|" + "--:|" * len(AUDIENCES))
    for name, cells in zip((row[0] for row in columns[0]), zip(*columns, strict=True), strict=True):
        lines.append(f"| {name} | " + " | ".join(cell[1] for cell in cells) + " |")
    return _HEAD + "\n".join(lines) + "\n" + _FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
