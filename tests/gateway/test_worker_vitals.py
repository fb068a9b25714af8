"""How the workers at a gateway's places are: what they say, what the system says, and what is left of the dead."""

import asyncio
import os
import time
from pathlib import Path
from typing import cast

import pytest

from gateway import worker_line
from gateway.loop_lag import LoopLag
from gateway.worker_line import WorkerHeard, WorkerState
from gateway.worker_process import WorkerProcess
from gateway.worker_vitals import Place, ProcessUse


class Running:
    """A worker as far as its place looks at it: this very process, until it has ended."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.running = True
        self.heard = WorkerHeard()

    @property
    def state(self) -> WorkerState:
        return self.heard.state


def worker() -> tuple[Running, WorkerProcess]:
    """A worker, and the same as its place takes it."""
    running = Running()
    return running, cast("WorkerProcess", running)


class Watch:
    """A clock that is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(worker_line, "time", watch)
    return watch


def test_what_a_worker_says_is_read_back() -> None:
    state = WorkerState(serving=True, missing="no seats", connections=12, joins_waiting=3, lag_s=0.5)
    assert WorkerState.decode(state.encode()) == state
    assert WorkerState.decode(state.encode()[:-2] + b',"more":1}\n') == state


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"nothing", b'{"serving":true,"missing":"","refusal":""}'])
def test_a_line_that_is_none_says_nothing_good(line: bytes) -> None:
    assert not WorkerState.decode(line).serving
    assert WorkerState.decode(line).missing


def test_silence_begins_with_the_worker_and_grows_until_it_speaks(watch: Watch) -> None:
    heard = WorkerHeard()
    watch.now += 7
    assert heard.silence_s() == 7
    heard.hear(WorkerState().encode())
    assert heard.silence_s() == 0
    watch.now += 2
    assert heard.silence_s() == 2


def test_the_longest_lag_of_the_last_seconds_stays_whoever_looks_and_is_then_forgotten(watch: Watch) -> None:
    heard = WorkerHeard()
    assert heard.lag_s() is None
    for lag_s in (0.001, 0.25, 0.002):
        watch.now += 1
        heard.hear(WorkerState(lag_s=lag_s).encode())
    assert (heard.lag_s(), heard.lag_s()) == (0.25, 0.25)
    watch.now += worker_line.LAG_WINDOW_S - 0.5
    assert heard.lag_s() == 0.002
    watch.now += 1
    assert heard.lag_s() is None


def test_a_loop_that_is_held_up_is_late() -> None:
    held_s = 0.05

    async def held_up() -> tuple[float, float]:
        lag = LoopLag()
        # Not a task that sleeps: the loop itself stands still.
        asyncio.get_running_loop().call_soon(time.sleep, held_s)
        await lag.sleep(held_s / 10)
        return lag.take(), lag.take()

    longest_s, again_s = asyncio.run(held_up())
    assert longest_s > held_s / 2
    assert again_s == 0


def test_the_system_says_what_a_process_uses() -> None:
    use = ProcessUse.of(os.getpid())
    assert use is not None
    times = os.times()
    assert use.cpu_s == pytest.approx(times.user + times.system, abs=0.5)
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert use.memory_bytes == pytest.approx(resident_pages * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
    assert ProcessUse.of(2**22 + 1) is None


def test_a_place_adds_up_its_workers_and_shows_the_one_that_has_it() -> None:
    place, (old, old_worker), (new, new_worker) = Place(), worker(), worker()
    assert place.look(None) == place.look(None)
    assert (place.look(None).starts, place.look(None).cpu_s) == (0, 0)
    old.heard.hear(WorkerState(serving=True, connections=5, lag_s=0.1).encode())
    place.started(old_worker)
    first = place.look(old_worker)
    assert (first.starts, first.connections, first.lag_s) == (1, 5, 0.1)
    assert first.memory_bytes
    assert first.silence_s is not None
    assert first.silence_s >= 0
    # A rolling restart: both run for a while, the place is the new one's.
    place.started(new_worker)
    both = place.look(new_worker)
    assert (both.starts, both.connections, both.lag_s) == (2, 0, None)
    assert both.cpu_s >= 2 * first.cpu_s
    old.running = new.running = False
    gone = place.look(new_worker)
    assert gone.cpu_s == both.cpu_s, "a counter keeps what the dead have used"
    assert (gone.silence_s, gone.lag_s, gone.connections, gone.memory_bytes) == (None,) * 4
    assert place.look(None) == gone
