"""Does sealing hold up heartbeats? Latency of a worker while its own window closes, and while nine million records do.

`turnout up` with one worker on core 0 and an event of 24 sessions; everything else is on core 1: supervisor (courier
and flusher), ledger, Redis, the client. Heartbeats come from an open loop (load_tests.bench.open_loop): latency is
charged from the scheduled send. The supervisor and the ledger run at a low priority, so that the client, which
shares their core because there are two only, is not held up itself. The client hardly ever sleeps, so
sealing gets about a tenth of that core and takes ten times as long as it would by itself, and may come late.

Before the load begins, the spool folder of a worker that died in the coming window is made (load_tests.bench.
large_window): 9 million records of 4.5 million viewers in 24 sessions. In that minute it is moved into the gateway's
spool, as if the worker had just died; the flusher reads it at once, the courier takes it when the window is over. The
phases of the table:

    a window closes         an ordinary one, with this worker's own records: from its end on, for as long as the next
    adopted                 from the moment when the folder was moved in
    9 M records close       from the window's end until the published log has a leaf with the viewers that were made
    after                   as long again
    the rest                all else

Peak memory of supervisor and ledger is the kernel's (VmHWM), from the adoption on. A second table is of one tally in a
process of its own: the longest single heartbeat while a window of so many records fills, of the one that closes it, and
in the seconds after, when the thread lets go of the files. What it does not say: how a disk that is full or broken
behaves, and, with two cores, how long sealing takes on a machine that has one to spare for it.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import numpy.typing as npt

from load_tests.bench import large_window, open_loop, processes, published_log, report, servers, table, wrk
from load_tests.http_client import Address
from load_tests.scenario import read_programme

SESSIONS: Final = 24
RECORDS: Final = 9_000_000
RATE: Final = 20_000.0
"""A second: about a third of what one worker and one client core do here."""
CONNECTIONS: Final = 256
WINDOW_S: Final = 60
LEAD_S: Final = 12.0
"""Load before the first window's end."""
ADOPT_S: Final = 25.0
"""The folder is moved in so long after that end."""
ADOPTED_S: Final = 5.0
TAIL_S: Final = 45.0
"""Load after the second window's end: sealing takes some seconds of it."""
LOOK_S: Final = 0.05
WARM_S: Final = 2.0

Times = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Phase:
    """The latency of what was scheduled in a stretch of time, from the scheduled send."""

    name: str
    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """How the large window went."""

    handed_over_s: float  # from the window's end until its spool was deleted
    published_s: float  # until its leaf was in the published log
    late: bool  # it missed the window's own leaf
    courier_peak_bytes: int  # resident
    courier_before_bytes: int
    ledger_peak_bytes: int
    ledger_before_bytes: int
    client_late_p99_ms: float


def phase(name: str, scheduled_s: Times, latency_s: Times, stretches: Sequence[tuple[float, float]]) -> Phase:
    """Return the latency of requests scheduled in any of the stretches [from, to). Raises RuntimeError for none."""
    taken = np.zeros(len(scheduled_s), np.bool_)
    for start, end in stretches:
        taken |= (scheduled_s >= start) & (scheduled_s < end)
    found = latency_s[taken] * 1000
    if not len(found):
        raise RuntimeError(f"no heartbeat falls into the phase: {name}")
    p50, p99, p999 = np.percentile(found, (50, 99, 99.9)).tolist()
    return Phase(name, sum(end - start for start, end in stretches), len(found), p50, p99, p999, float(found.max()))


def _peak_bytes(pid: int) -> int:
    return _status_bytes(pid, "VmHWM")


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no {field}")


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _process_of(pids: Sequence[int], module: str) -> int:
    (pid,) = [pid for pid in pids if module in _command_line(pid)]
    return pid


class _Watch:
    """What becomes of the large window. Owned by the measuring process."""

    def __init__(self, turnout: servers.Turnout, folder: Path, spool: Path) -> None:
        self._folder = folder
        self._adopted = spool / folder.name
        self._programme = read_programme(turnout.event_file)
        self._ledger = Address.of(turnout.running.ledger)
        beside = turnout.server.beside
        self.courier, self.ledger = (
            _process_of(beside, f"gateway.{name}") for name in ("supervisor", "ledger_service")
        )
        for pid in (self.courier, self.ledger):
            processes.make_way(pid)

    def adopt(self) -> tuple[int, int]:
        """Move the folder in; return the resident bytes of courier and ledger just before."""
        resident = _status_bytes(self.courier, "VmRSS"), _status_bytes(self.ledger, "VmRSS")
        for pid in (self.courier, self.ledger):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
        self._folder.rename(self._adopted)
        return resident

    def sealed(self, window: int, made: int, deadline: float) -> tuple[float, float, bool]:
        """Wait; return when the spool was deleted and when a leaf with its viewers was published (time.time()).

        The third is whether that leaf came late, after the window's own. Raises RuntimeError if there is none.
        """
        handed_over = 0.0
        while time.time() < deadline:
            handed_over = handed_over or (0.0 if self._adopted.exists() else time.time())
            for leaf in asyncio.run(published_log.leaves_of(self._ledger, self._programme.iso(window))):
                late = leaf["type"] == "late"
                if handed_over and (late or _viewers(leaf) >= made):
                    return handed_over, time.time(), late
            time.sleep(LOOK_S)
        raise RuntimeError("the large window was not sealed while there was load")


def _viewers(leaf: dict[str, Any]) -> int:
    present = [row["present"] for row in leaf["totals"] if (row["session"], row["channel"]) == ("", "online")]
    return present[0] if present else 0


def measure(records: int, rate: float) -> tuple[list[Phase], Sealed]:
    """Return the phases and how sealing went.

    Raises RuntimeError, ServerFailedError, UnexpectedAnswerError or OSError.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        turnout = stack.enter_context(servers.turnout(scratch, sessions=SESSIONS))
        first_end = (time.time() + LEAD_S + _making_s(records)) // WINDOW_S * WINDOW_S + WINDOW_S
        window, second_end = int(first_end), first_end + WINDOW_S
        folder = large_window.write(scratch / "large", turnout.event_file, window, records)
        watch = _Watch(turnout, folder, scratch / "spool")
        plan = open_loop.Plan(
            address=turnout.server.address,
            requests=tuple(wrk.browser_request("beat.example", token) for token in turnout.tokens),
            rate=rate,
            duration_s=second_end + TAIL_S - (first_end - LEAD_S),
            connections=CONNECTIONS,
        )
        if time.time() > first_end - LEAD_S - WARM_S:
            raise RuntimeError("making the large window took longer than thought: try again")
        time.sleep(first_end - LEAD_S - time.time())
        driving = stack.enter_context(open_loop.elsewhere(plan))
        time.sleep(first_end + ADOPT_S - time.time())
        adopted_at = time.time()
        before = watch.adopt()
        time.sleep(max(second_end - time.time(), 0))
        made = records // large_window.BEATS_A_VIEWER
        handed_over_at, published_at, late = watch.sealed(window, made, second_end + TAIL_S)
        peaks = _peak_bytes(watch.courier), _peak_bytes(watch.ledger)
        outcome = driving.result()
    if set(outcome.statuses) != {204}:
        raise RuntimeError(f"heartbeats were answered {dict(outcome.statuses)}")
    began = outcome.began_at + time.time() - time.monotonic()
    long_s = published_at - second_end
    named = {
        "a window closes": (first_end - began, first_end - began + long_s),
        "adopted": (adopted_at - began, adopted_at - began + ADOPTED_S),
        f"{records / 1e6:g} M records close": (second_end - began, second_end - began + long_s),
        "after": (second_end - began + long_s, second_end - began + 2 * long_s),
    }
    latency_s = outcome.answered_s - outcome.scheduled_s
    phases = [phase(name, outcome.scheduled_s, latency_s, [stretch]) for name, stretch in named.items()]
    phases.insert(0, phase("the rest", outcome.scheduled_s, latency_s, _between(named.values(), plan.duration_s)))
    sealed = Sealed(
        handed_over_s=handed_over_at - second_end,
        published_s=long_s,
        late=late,
        courier_peak_bytes=peaks[0],
        courier_before_bytes=before[0],
        ledger_peak_bytes=peaks[1],
        ledger_before_bytes=before[1],
        client_late_p99_ms=float(np.percentile(outcome.late_s, 99)) * 1000,
    )
    return phases, sealed


def _making_s(records: int) -> float:
    """How long making a window of so many records may take, on a busy machine."""
    return 10.0 + records / 200_000


def _between(stretches: Iterable[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    """Return what lies between stretches, without the first seconds, in which connections are new."""
    edges = [WARM_S, *(edge for stretch in sorted(stretches) for edge in stretch), duration_s]
    return [(start, end) for start, end in zip(edges[0::2], edges[1::2], strict=True) if end > start]


def own_window(records: int) -> large_window.LongestBeats:
    """Fill and close a window in a process of its own. Raises OSError, or ServerFailedError."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-bench-")))
        # Its start makes the keys that the event file names.
        turnout = stack.enter_context(servers.turnout(scratch, tokens=1, sessions=SESSIONS))
        fresh = multiprocessing.get_context("spawn")
        process = stack.enter_context(ProcessPoolExecutor(1, fresh, _on_the_servers_core))
        window = int(time.time()) // WINDOW_S * WINDOW_S
        return process.submit(large_window.longest_beats, scratch / "own", turnout.event_file, window, records).result()


def _on_the_servers_core() -> None:
    if processes.pinnable():
        processes.pin(os.getpid(), processes.SERVER_CORE)


def markdown(phases: Sequence[Phase]) -> str:
    """Return the table."""
    return table.markdown(
        ["phase", "seconds", "heartbeats", "p50", "p99", "p99.9", "longest"],
        [
            (
                one.name, f"{one.seconds:.1f}", f"{one.requests:,}", f"{one.p50_ms:.2f} ms", f"{one.p99_ms:.2f} ms",
                f"{one.p999_ms:.2f} ms", f"{one.longest_ms:.1f} ms",
            )
            for one in phases
        ],
    )  # fmt: skip


def notes_on(sealed: Sealed, own: large_window.LongestBeats, rate: float) -> list[str]:
    """Return how sealing went, in words."""
    load = (
        f"{rate:,.0f} heartbeats a second, all answered 204; the client itself was late by "
        f"{sealed.client_late_p99_ms:.2f} ms (p99)"
    )
    sealing = (
        f"the large window was handed over {sealed.handed_over_s:.1f} s after its end and in the published log after "
        f"{sealed.published_s:.1f} s{', late, in a leaf of its own' if sealed.late else ''}; at low priority"
    )
    memory = (
        f"peak memory: supervisor {sealed.courier_peak_bytes / 1e6:.0f} MB ({sealed.courier_before_bytes / 1e6:.0f} "
        f"before), ledger {sealed.ledger_peak_bytes / 1e6:.0f} MB ({sealed.ledger_before_bytes / 1e6:.0f} before)"
    )
    alone = (
        f"in a tally by itself the longest heartbeat took {own.before_s * 1000:.2f} ms while such a window filled, "
        f"{own.closing_s * 1000:.2f} ms for the one that closed it, {own.after_s * 1000:.2f} ms in the "
        f"{large_window.AFTER_S:.0f} s after"
    )
    return [load, sealing, memory, alone]


@click.command(name="sealing")
@click.option("--records", type=click.IntRange(100_000, 20_000_000), default=RECORDS, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(100, 100_000), default=RATE, show_default=True, help="Heartbeats a second."
)
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/sealing-NAME.json.")
def command(records: int, rate: float, save: str | None) -> None:
    """Measure what heartbeats feel when a window of nine million records is sealed."""
    with report.or_nothing():
        phases, sealed = measure(records, rate)
        own = own_window(records)
    measured = {"phases": [asdict(one) for one in phases], "sealed": asdict(sealed), "own_window": asdict(own)}
    report.show("sealing", markdown(phases), measured, notes=notes_on(sealed, own, rate), save=save)


if __name__ == "__main__":
    command()
