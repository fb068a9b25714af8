"""`kill -9` at any step of a worker's life: what it had acknowledged is in its files, whole, and nothing else is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
BUFFERED = """
import sys
from counters import open_window
from tests.counters import spool_steps

append, kept = open_window.JournalFile.append, []

def append_later(journal, record):
    kept.append(record)
    return len(kept) < 3 or append(journal, b"".join([kept.pop(0) for _ in range(len(kept))]))

open_window.JournalFile.append = append_later
spool_steps.STRIDE = 15
spool_steps.LIFE = ("join", "join", "join", "join", "stop")
spool_steps.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where a thousand syncs cost nothing: a kill takes nothing from the kernel's cache either way."""
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def answer(folder: Path, *program: str) -> tuple[int, list[tuple[int, str]]]:
    done = subprocess.run([sys.executable, *program, str(folder)], check=True, capture_output=True)
    said = json.loads(done.stdout)
    return said["steps"], said["wrong"]


def test_whatever_step_a_worker_is_killed_at_all_that_it_acknowledged_is_read_back(folder: Path) -> None:
    steps, wrong = answer(folder, "-m", "tests.counters.spool_steps")
    assert steps > 500
    assert wrong == []


def test_a_worker_that_acknowledges_what_it_only_means_to_write_is_found_out(folder: Path) -> None:
    _, wrong = answer(folder, "-c", BUFFERED)
    assert wrong
