"""What the CPU of one heartbeat goes into: the kernel, call by call, and the libraries that the worker runs.

A heartbeat's CPU is measured as in `heartbeats`, user and system time apart (/proc/PID/stat). Then `perf` samples the
same load by the CPU clock (which virtual machines have, unlike cycle counters), and each sample counts for the part it
fell into: a system call if one is on its stack, else the library at its top. nginx' empty 204 stands beside it: what it
spends in the kernel on the same bytes no server saves. What it does not say: which Python function the interpreter was
in. Needs perf and root; without them only user and system time are shown.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from load_tests.bench import contenders, peers, processes, programs, report, table, wrk
from load_tests.bench.contenders import Contender
from load_tests.bench.turns import SETTLE_S, admit

FREQUENCY_HZ: Final = 1999
"""No multiple of the timer tick, so that the two do not walk in step."""
HOTTEST: Final = 15
SMALL: Final = 0.005
"""Parts that are a smaller share everywhere stand together in one row."""
PERF_S: Final = 60.0  # to read what was sampled
_SYSTEM_CALL: Final = re.compile(r"(?:__(?:x64|arm64)_sys_|ksys_|__sys_|do_(?=readv|writev))([a-z0-9_]+)")
"""What a system call's function is called in the kernel; the outermost may be inlined into the next."""
_SOCKET_CALLS: Final = (
    (re.compile(r"p?writev?\d?|send(to|msg)"), "kernel: send the answer, TCP over loopback"),
    (re.compile(r"p?readv?\d?|recv(from|msg)"), "kernel: receive the request"),
    (re.compile(r"epoll_.*"), "kernel: wait for events"),
)
_PARTS: Final = (
    (re.compile(r"_blake2"), "BLAKE2b: the token's MAC"),
    (re.compile(r"binascii"), "base64 of the token"),
    (re.compile(r"uvloop|loop\.cpython"), "uvloop: event loop, transports"),
    (re.compile(r"(lib)?python3"), "Python: interpreter and objects"),
    (re.compile(r"libc[.-]"), "C library"),
    (re.compile(r"nginx"), "nginx: HTTP, event loop"),
)
"""By the name of the file that the code is in."""

_REST: Final = "everything smaller"

Frame = tuple[str, str]
"""A symbol and the path of the file that it is in."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one heartbeat on one server."""

    server: str
    user_us: float
    system_us: float
    requests: int

    @property
    def cpu_us(self) -> float:
        """Return both together."""
        return self.user_us + self.system_us


@dataclass(frozen=True, slots=True)
class Samples:
    """What perf saw of one server: samples by part, and by symbol with its file's name."""

    server: str
    parts: Counter[str]
    symbols: Counter[tuple[str, str]]


def part_of(stack: Sequence[Frame]) -> str:
    """Return the part that a sample with this stack (innermost first) counts for."""
    if stack[0][1] != "[kernel.kallsyms]":
        name = Path(stack[0][1]).name
        return next((part for pattern, part in _PARTS if pattern.search(name)), f"other: {name}")
    calls = (_SYSTEM_CALL.match(symbol) for symbol, _ in stack)
    call = next((found[1] for found in calls if found), None)
    if call is None:
        return "kernel: entry, interrupts"
    return next((part for pattern, part in _SOCKET_CALLS if pattern.fullmatch(call)), f"kernel: {call}")


def stacks(script: str) -> Iterator[list[Frame]]:
    """Yield the stacks of `perf script -F ip,sym,dso`, innermost frame first."""
    for block in re.split(r"\n\s*\n", script):
        frames = re.findall(r"^\s*[0-9a-f]+ (.+) \(([^()]+)\)$", block, re.MULTILINE)
        if frames:
            yield [(symbol, dso) for symbol, dso in frames]


def counted(server: str, script: str) -> Samples:
    """Return what a perf script says."""
    parts: Counter[str] = Counter()
    symbols: Counter[tuple[str, str]] = Counter()
    for stack in stacks(script):
        parts[part_of(stack)] += 1
        symbols[stack[0][0], Path(stack[0][1]).name.strip("[]")] += 1
    return Samples(server, parts, symbols)


def _cost(contender: Contender, client: wrk.Client, seconds: int) -> Cost:
    time.sleep(SETTLE_S)
    before = [processes.user_system_s(pid) for pid in contender.server.pids]
    found = client.load(contender.server.address, seconds)
    after = [processes.user_system_s(pid) for pid in contender.server.pids]
    user, system = (
        sum(late[kind] - early[kind] for early, late in zip(before, after, strict=True)) * 1e6 / found.requests
        for kind in (0, 1)
    )
    return Cost(contender.server.name, user, system, found.requests)


def _sample(perf: str, contender: Contender, client: wrk.Client, seconds: int, scratch: Path) -> Samples:
    """Let perf look on. Raises RuntimeError with what it said if it saw nothing."""
    data = scratch / f"perf-{contender.server.pid}.data"
    arguments = ["record", "-e", "cpu-clock", "-F", str(FREQUENCY_HZ), "-g", "-o", str(data)]
    command = [perf, *arguments, "-p", str(contender.server.pid), "--", "sleep", str(seconds)]
    recording = subprocess.Popen(
        processes.on_core(processes.CLIENT_CORE, command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        client.load(contender.server.address, seconds + 1)  # one second more: perf takes a moment to begin
        _, said = recording.communicate(timeout=PERF_S)
    finally:
        if recording.poll() is None:
            recording.kill()
            recording.wait()
    if recording.returncode or not data.exists():
        raise RuntimeError(f"perf cannot sample: {said.strip()[-300:]}")
    done = subprocess.run(
        [perf, "script", "-i", str(data), "-F", "ip,sym,dso"],
        capture_output=True, text=True, timeout=PERF_S, check=False,
    )  # fmt: skip
    samples = counted(contender.server.name, done.stdout)
    if not samples.parts:
        raise RuntimeError(f"perf saw nothing: {done.stderr.strip()[-300:]}")
    return samples


def costs_table(costs: Sequence[Cost]) -> str:
    """Return user and system time by server."""
    return table.markdown(
        ["server", "user", "kernel", "together", "heartbeats"],
        [
            (
                one.server,
                f"{one.user_us:.2f} µs",
                f"{one.system_us:.2f} µs",
                f"{one.cpu_us:.2f} µs",
                f"{one.requests:,}",
            )
            for one in costs
        ],
    )


def parts_table(costs: Sequence[Cost], sampled: Sequence[Samples]) -> str:
    """Return the parts, largest first; µs are a server's CPU per heartbeat times the part's share."""
    by_server = {one.server: one for one in costs}
    shares = [{part: count / one.parts.total() for part, count in one.parts.items()} for one in sampled]
    parts = {part for of_one in shares for part in of_one}
    small = {part for part in parts if all(of_one.get(part, 0) < SMALL for of_one in shares)}
    for of_one in shares:
        of_one[_REST] = sum(of_one.pop(part, 0) for part in small)
    rows = []
    for part in [*sorted(parts - small, key=lambda part: [-of_one.get(part, 0) for of_one in shares]), _REST]:
        cells = []
        for one, of_one in zip(sampled, shares, strict=True):
            share = of_one.get(part, 0)
            cells += [f"{share * by_server[one.server].cpu_us:.2f} µs", f"{share:.1%}"] if share else ["", ""]
        rows.append((part, *cells))
    head = ["part", *(text for one in sampled for text in (f"{one.server}", "share"))]
    totals = [text for one in sampled for text in (f"{by_server[one.server].cpu_us:.2f} µs", "100%")]
    return table.markdown(head, [*rows, ("together", *totals)])


def symbols_table(samples: Samples) -> str:
    """Return the functions that most samples fell into."""
    total = samples.parts.total()
    return table.markdown(
        ["function", "in", "share"],
        [
            (f"`{symbol}`", file, f"{count / total:.1%}")
            for (symbol, file), count in samples.symbols.most_common(HOTTEST)
        ],
    )


@click.command(name="profile")
@click.option("--seconds", type=click.IntRange(1, 60), default=6, show_default=True, help="Of each server's two turns.")
@click.option("--save", metavar="NAME", help="Also write load_tests/bench/results/profile-NAME.json.")
def command(seconds: int, save: str | None) -> None:
    """Take a heartbeat's CPU apart: kernel calls, interpreter, MAC, event loop."""
    perf = shutil.which("perf")
    notes = [] if perf else ["perf is not on the PATH (Debian: linux-perf): only user and kernel time are shown"]
    sampled: list[Samples] = []
    with (
        report.or_nothing(),
        contenders.field([peers.NGINX_204]) as field,
        tempfile.TemporaryDirectory() as name,
    ):
        scratch = Path(name)
        requests = [wrk.browser_request("beat.example", token) for token in field.turnout.tokens]
        client = wrk.Client(scratch, requests)
        for contender in field.contenders:
            admit(contender, client)
        costs = [_cost(contender, client, seconds) for contender in field.contenders]
        if perf:
            try:
                sampled = [_sample(perf, contender, client, seconds, scratch) for contender in field.contenders]
            except RuntimeError as failure:
                notes.append(f"{failure}: only user and kernel time are shown")
        notes += field.skipped
    tables = [costs_table(costs)]
    if sampled:
        tables += [parts_table(costs, sampled), symbols_table(sampled[0])]
        notes.append(", ".join(f"{one.parts.total():,} samples of {one.server}" for one in sampled))
    measured = {
        "costs": [asdict(one) for one in costs],
        "samples": [{"server": one.server, "parts": dict(one.parts.most_common())} for one in sampled],
    }
    versions = {"wrk": programs.version("wrk", "-v"), **peers.versions()}
    report.show("profile", "\n\n".join(tables), measured, versions=versions, notes=notes, save=save)


if __name__ == "__main__":
    command()
