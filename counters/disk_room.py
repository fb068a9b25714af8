"""Room on the spool's disk: newcomers are refused while there is still room for those who are in.

A full disk is found out when a chunk cannot be allocated, and then every heartbeat is refused. Before that, at the low
water mark, joins by ticket are: a load balancer that looks at /readyz sends new players to another gateway, and those
who are here are counted on.
"""

import os
from pathlib import Path
from typing import Final

LOW_WATER_BYTES: Final = 256 * 1024 * 1024
"""What a busy worker (100,000 heartbeats a second) writes in five minutes: time for somebody to make room."""
LOW_WATER_PART: Final = 10
"""On a small disk the mark is at a tenth of it."""
HYSTERESIS: Final = 1.25
"""Newcomers are taken again when there is a quarter more room than that: not now and then, but for good."""


class DiskRoom:
    """How much room there is. `look` is called in a thread, `low` read by the loop."""

    def __init__(self, folder: Path) -> None:
        """Look at the disk that a folder is on."""
        self._folder = folder
        self.low = False
        """Whether there is so little that newcomers are refused."""
        self.look()

    def look(self) -> None:
        """Look again. Blocks, on a disk that hangs: for a thread."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return  # what does not answer is found out where it is written to
        mark_bytes = min(LOW_WATER_BYTES, disk.f_blocks * disk.f_frsize // LOW_WATER_PART)
        free_bytes = disk.f_bavail * disk.f_frsize
        self.low = free_bytes < mark_bytes * (HYSTERESIS if self.low else 1)
