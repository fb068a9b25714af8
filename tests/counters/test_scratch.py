"""Folders for work in progress: nothing stays of them, and nobody's is taken away under their hands."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from counters.scratch import scratch_folder

PREFIX = "turnout-test-"
WORKING = """
import sys, time
from counters.scratch import scratch_folder
with scratch_folder("turnout-test-") as folder:
    (folder / "part").write_text("half done")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_nothing_stays_of_a_folder_whatever_happens_in_it(temporary: Path) -> None:
    with scratch_folder(PREFIX) as folder:
        (folder / "part").write_text("x")
    with pytest.raises(ZeroDivisionError), scratch_folder(PREFIX) as folder:
        (folder / "part").write_text(str(1 // 0))
    assert list(temporary.iterdir()) == []


def test_a_folder_is_left_alone_while_its_process_lives_and_taken_away_when_it_was_killed(temporary: Path) -> None:
    (temporary / "turnout-testament").mkdir()  # a stranger
    with subprocess.Popen([sys.executable, "-c", WORKING], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            theirs = Path(other.stdout.readline().strip())
            with scratch_folder(PREFIX) as ours:
                assert sorted(temporary.glob(f"{PREFIX}*")) == sorted([ours, theirs])
            assert (theirs / "part").exists()
        finally:
            os.kill(other.pid, signal.SIGKILL)
    with scratch_folder(PREFIX) as ours:
        assert list(temporary.glob(f"{PREFIX}*")) == [ours]
    assert [path.name for path in temporary.iterdir()] == ["turnout-testament"]


def test_a_link_that_somebody_laid_there_is_not_followed(temporary: Path) -> None:
    (temporary / "precious").mkdir()
    (temporary / "precious" / "file").write_text("x")
    (temporary / f"{PREFIX}link").symlink_to(temporary / "precious")
    with scratch_folder(PREFIX):
        pass
    assert (temporary / "precious" / "file").exists()
