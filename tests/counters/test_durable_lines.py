"""Durable lines: what was added is read back whole; what was not acknowledged leaves no trace."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.durable_file import make_folder
from counters.durable_lines import DurableLines
from tests.counters.fragile_disk import FragileDisk

records = st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.booleans(), max_size=3)


def lines(path: Path) -> list[dict[str, object]]:
    return DurableLines(path).records


@given(st.lists(st.lists(records, max_size=3), max_size=5), st.data())
def test_after_a_cut_anywhere_whole_lines_are_there_and_new_ones_follow_them(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[dict[str, object]]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "folder" / "file.jsonl"
    file = DurableLines(path)
    for group in groups:
        file.add(*group)
    added = [record for group in groups for record in group]
    assert lines(path) == added
    raw = path.read_bytes()
    kept = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:kept])
    whole = raw[:kept].count(b"\n")
    file = DurableLines(path)
    file.add({"next": 1})
    assert lines(path) == [*added[:whole], {"next": 1}]


@pytest.mark.parametrize("fails", ["write", "write and truncate", "fsync"])
def test_a_refused_record_is_taken_back_and_the_next_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = tmp_path / "file.jsonl"
    file = DurableLines(path)
    file.add({"kept": 1})
    real = os.pwrite

    def torn(descriptor: int, data: bytes, offset: int) -> int:
        """Take three bytes, and then nothing."""
        if len(data) < len(b'{"lost":2}\n{"lost":3}\n'):
            if fails == "write and truncate":
                patch.setattr(os, "ftruncate", refuse)
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:3], offset)

    def refuse(*_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, *(("fsync", refuse) if fails == "fsync" else ("pwrite", torn)))
        with pytest.raises(OSError, match=r"No space|Input/output"):
            file.add({"lost": 2}, {"lost": 3})
    assert file.records == [{"kept": 1}]
    file.add({"next": 4})
    assert lines(path) == [{"kept": 1}, {"next": 4}]


def test_lines_that_a_killed_writer_did_not_sync_are_synced_before_they_are_relied_on(tmp_path: Path) -> None:
    """It wrote; it was killed before its sync; the next one reads the line; the power fails."""
    disk = FragileDisk()
    home = tmp_path / "home"
    make_folder(home, disk=disk)
    DurableLines(home / "file.jsonl", disk).add({"first": 1})
    with (home / "file.jsonl").open("ab") as file:
        file.write(b'{"never":"synced"}\n')
    records = DurableLines(home / "file.jsonl", disk).records
    assert records == [{"first": 1}, {"never": "synced"}]
    disk.after_power_loss(home, tmp_path / "after", lambda: False)
    assert lines(tmp_path / "after" / "file.jsonl") == records


def test_a_file_that_became_shorter_is_refused_and_not_filled_with_zeros(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    file = DurableLines(path)
    file.add({"kept": 1})
    path.write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        file.add({"next": 2})
    assert path.read_bytes() == b""


@pytest.mark.parametrize("line", [b"7", b"[]", b"", b"{", b'{"a":1}{"b":2}'])
def test_a_line_that_is_no_object_is_refused_and_not_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(json.dumps({"good": 1}).encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra"):
        DurableLines(path)
