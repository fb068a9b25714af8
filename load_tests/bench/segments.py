"""A client that sends its requests in parts, as slow links deliver them, each part long after the one before.

`python -m load_tests.bench.segments HOST PORT SECONDS FILE`: FILE holds requests, each a JSON list of its parts.
Prints what it got in wrk's shape.
"""

import itertools
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from load_tests.bench import processes, wrk
from load_tests.http_client import Address

PAUSE_S: Final = 0.001
"""Between two passes over all connections: a server has read the part before by then."""
TIMEOUT_S: Final = 10.0


def cut(request: bytes, parts: int, source: random.Random) -> list[bytes]:
    """Return a request in so many parts, none empty, cut at places drawn from `source`."""
    places = [0, *sorted(source.sample(range(1, len(request)), parts - 1)), len(request)]
    return [request[start:end] for start, end in itertools.pairwise(places)]


class Client:
    """Runs the program on the client's core. Owns the file with the parts."""

    def __init__(self, scratch: Path, requests: Sequence[Sequence[bytes]]) -> None:
        """Send these requests in turn; all have the same number of parts.

        A connection gets each CONNECTIONS-th request.
        """
        self._file = scratch / "parts.json"
        self._file.write_text(json.dumps([[part.decode("ascii") for part in parts] for parts in requests]))

    def load(self, address: Address, seconds: int, *, check: bool = False) -> wrk.Run:  # noqa: ARG002 - always checks
        """Send heartbeats for so long. Raises RuntimeError."""
        program = [sys.executable, "-m", __name__, address.host, str(address.port), str(seconds), str(self._file)]
        command = processes.on_core(processes.CLIENT_CORE, program)
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
        if done.returncode:
            raise RuntimeError(f"the client ended with {done.returncode}: {done.stderr}")
        return wrk.Run(**json.loads(done.stdout))


def run(address: Address, seconds: float, requests: Sequence[Sequence[bytes]]) -> wrk.Run:
    """Send requests for so long. Raises OSError if a connection breaks."""
    connections = [socket.create_connection((address.host, address.port), TIMEOUT_S) for _ in range(wrk.CONNECTIONS)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    parts, sent, received, other = len(requests[0]), 0, 0, 0
    started = time.monotonic()
    try:
        while time.monotonic() < started + seconds and not other:
            chosen = [requests[(sent + number) % len(requests)] for number in range(len(connections))]
            for part in range(parts):
                if part:
                    time.sleep(PAUSE_S)
                for connection, request in zip(connections, chosen, strict=True):
                    connection.sendall(request[part])
            for connection in connections:
                answer = _answer(connection)
                received += len(answer)
                other += not answer.startswith(b"HTTP/1.1 204 ")
            sent += len(connections)
    finally:
        for connection in connections:
            connection.close()
    duration_us = int((time.monotonic() - started) * 1e6)
    return wrk.Run(sent, duration_us, received, 0, 0, other, p99_us=0)


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        read = connection.recv(4096)
        if not read:
            raise ConnectionError(f"closed after {answer!r}")
        answer += read
        if not answer.startswith(b"HTTP/1.1 204 "[: len(answer)]):
            break  # a refusal has a body, which nobody here reads
    return answer


if __name__ == "__main__":
    host, port, seconds, file = sys.argv[1:]
    parts = [[part.encode() for part in request] for request in json.loads(Path(file).read_text())]
    print(json.dumps(asdict(run(Address(host, int(port)), float(seconds), parts))))
