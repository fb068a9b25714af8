"""A ledger that dies by SIGKILL before or after one step of its disk, or whose disk is full while a file is there.

    python -m tests.faults.ledger_that_dies die PATTERN COUNT before|after
    python -m tests.faults.ledger_that_dies full FILE

It is the real service with another disk, and takes the same line on standard input. PATTERN is one of
`tests.counters.fragile_disk.FaultyDisk.only`, COUNT the step among those that it fits, from 0. The disk is full while
FILE exists.
"""

import logging
import sys
from pathlib import Path

from counters.disk import Disk
from gateway.ledger_service import run_ledger
from gateway.settings import LedgerSettings
from tests.counters.fragile_disk import FaultyDisk, die, full


class FullDisk(Disk):
    """Takes no byte while a file exists."""

    def __init__(self, says_so: Path) -> None:
        self._says_so = says_so

    def _check(self) -> None:
        if self._says_so.exists():
            full()

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        """Make a new file, and leave what there was room for."""
        if self._says_so.exists():
            path.write_bytes(data[: len(data) // 2])
        self._check()
        super().write(path, data, mode)

    def append(self, path: Path, size: int, data: bytes) -> None:
        """Add to a file."""
        self._check()
        super().append(path, size, data)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    disk: Disk
    match sys.argv[1:]:
        case ["die", pattern, count, when]:
            disk = FaultyDisk(int(count), after=when == "after", fault=die, only=pattern)
        case ["full", says_so]:
            disk = FullDisk(Path(says_so))
        case _:
            sys.exit(__doc__)
    config = LedgerSettings.from_line(sys.stdin.buffer.readline())
    sys.exit(run_ledger(config, with_parent=True, disk=disk))


if __name__ == "__main__":
    main()
