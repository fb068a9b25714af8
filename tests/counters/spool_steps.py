"""A worker's tally that is killed at step N of its life, for every N: what it had acknowledged is in its files.

    python -m tests.counters.spool_steps FOLDER

A step is a line of the modules that write the spool. For each a process is forked that lives a short life of a worker
(birth, heartbeats over a full chunk, joins, a window's end, syncs, its own end) and kills itself, with SIGKILL, when it
comes to that line; what it was acknowledged before comes over a pipe. Prints {"steps": N, "wrong": [[step, why], …]}.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from counters import cells, journal, open_window, spool, tally, uniques
from counters.journal import decode, encode
from counters.spool_lock import owner_is_dead, read_lock
from counters.spooled_window import read_window, window_chunks
from counters.tally import Accepted
from tests.counters.worker_at_hand import NINE, HandClock, WorkerAtHand, a_join, attendee

WRITERS: Final = frozenset(module.__file__ for module in (cells, journal, open_window, spool, tally, uniques))
LIFE: Final = (*("beat",) * 6, "join", "prepare", "beat", "sync", "join", "minute", *("beat",) * 3, "join", "sync",
               "prepare", "minute", "beat", "stop")  # fmt: skip
"""What happens to it; chunks hold four records at first, and then three."""

STRIDE = 1
"""Every step; a test that only wants to see something found takes fewer."""


def live(folder: Path, say: Callable[[str], None]) -> None:
    """Live that life; say each deed before it is tried and after it was acknowledged."""
    worker = WorkerAtHand(folder, HandClock())
    for number, deed in enumerate(LIFE, 1):
        say(f"try {deed} {number}")
        if deed == "beat":
            assert worker.beat(number) is Accepted.YES
        elif deed == "join":
            assert worker.tally.write_journal(encode(a_join(number))) is Accepted.YES
            worker.tally.count_unique(1, attendee(number))
        elif deed == "minute":
            assert isinstance(worker.clock, HandClock)
            worker.clock.at += 60
            worker.tally.advance()
        elif deed == "stop":
            worker.stop()
        else:
            getattr(worker.tally, deed)()
        say(f"did {deed} {number}")


def killed_at(step: int, folder: Path) -> tuple[list[str], bool]:
    """Live it in a process that is killed at a step; return what it said, and whether it came to that step."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal steps
            if frame.f_code.co_filename not in WRITERS:
                return None
            if event == "line":
                steps += 1
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            with open(writing, "w", buffering=1, encoding="ascii") as line:  # noqa: PTH123 - a descriptor
                live(folder, lambda text: print(text, file=line))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode()
    _, status = os.waitpid(child, 0)
    return text.splitlines(), os.WIFSIGNALED(status)


def windows_of(said: list[str], word: str, deed: str) -> dict[int, list[int]]:
    """The numbers of the deeds that were tried or done, by window."""
    found: dict[int, list[int]] = {}
    window = NINE
    for line in said:
        what, which, number = line.split()
        # A window ends when the minute is tried: from then on its deeds may be in the next.
        window += 60 * ((what, which) == ("try", "minute"))
        if (what, which) == (word, deed):
            found.setdefault(window, []).append(int(number))
    return found


def wrong(said: list[str], folder: Path) -> str:
    """What is wrong with the files; "" if nothing is."""
    (home,) = [path for path in folder.iterdir() if path.is_dir()] or [folder]
    if not read_lock(home):
        return "acknowledged without a lock" if any(line.startswith("did") for line in said) else ""
    if not owner_is_dead(home):
        return "its lock is still held"
    windows = {window: read_window(paths) for window, paths in window_chunks(home).items()}
    for window in {*windows, *windows_of(said, "did", "beat"), *windows_of(said, "did", "join")}:
        read = windows.get(window)
        beats = [int(word) & 0xFFFF_FFFF for word in read.records] if read else []
        joins = [record.seat for record in decode(read.journal)] if read else []
        for deed, found in (("beat", beats), ("join", joins)):
            done = windows_of(said, "did", deed).get(window, [])
            tried = windows_of(said, "try", deed).get(window, [])
            if found[: len(done)] != done or found != tried[: len(found)]:
                return f"window {window}: {deed}s {found} of {done} acknowledged and {tried} tried"
        if read is not None and read.torn:
            return f"window {window} is torn: {read.torn}"
    return ""


def main() -> None:
    """Kill it at every step."""
    spool.FIRST_CHUNK_RECORDS, spool.CHUNK_RECORDS = 4, 3  # type: ignore[misc] # chunks that are full soon
    step, found = 0, []
    while True:
        step += STRIDE
        folder = Path(sys.argv[1]) / str(step)
        folder.mkdir()
        said, died = killed_at(step, folder)
        if why := wrong(said, folder):
            found.append((step, why))
        if not died:
            assert said[-1] == f"did stop {len(LIFE)}", said[-3:]
            break
    print(json.dumps({"steps": step - STRIDE, "wrong": found}))  # noqa: T201 - that is its answer


if __name__ == "__main__":
    main()
