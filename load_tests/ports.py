"""Ports for servers that are started, stopped, and come back to where they were."""

import random
import socket
from pathlib import Path
from typing import Final

LOWEST: Final = 10_000
EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port that nobody listens on, and that stays free while its server is away.

    It lies below those that the kernel gives to connections, and to listeners that ask for any: one of those could
    be taken by a stranger's connection in the moment in which the server starts again.
    """
    below = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    while True:
        port = random.randrange(LOWEST, max(below, LOWEST + 1_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
