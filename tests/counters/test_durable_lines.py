"""Durable lines: what was added is read back whole; what was not acknowledged leaves no trace."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.durable_lines import DurableLines

records = st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.booleans(), max_size=3)


def lines(path: Path) -> list[dict[str, object]]:
    file = DurableLines(path)
    file.close()
    return file.records


@given(st.lists(st.lists(records, max_size=3), max_size=5), st.data())
def test_after_a_cut_anywhere_whole_lines_are_there_and_new_ones_follow_them(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[dict[str, object]]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "folder" / "file.jsonl"
    file = DurableLines(path)
    for group in groups:
        file.add(*group)
    file.close()
    added = [record for group in groups for record in group]
    assert lines(path) == added
    raw = path.read_bytes()
    kept = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:kept])
    whole = raw[:kept].count(b"\n")
    file = DurableLines(path)
    file.add({"next": 1})
    file.close()
    assert lines(path) == [*added[:whole], {"next": 1}]


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_refused_record_is_taken_back_and_the_next_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = tmp_path / "file.jsonl"
    file = DurableLines(path)
    file.add({"kept": 1})

    class Torn:
        """A file that takes three bytes of every write, and then nothing."""

        def __init__(self) -> None:
            self.left = 3

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def write(self, data: bytes) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            written = real.write(data[: self.left])
            self.left = 0
            return written

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    real = file._file
    with monkeypatch.context() as patch:
        if fails == "fsync":
            patch.setattr(os, "fsync", refuse)
        else:
            patch.setattr(file, "_file", Torn())
        with pytest.raises(OSError, match=r"No space|Input/output"):
            file.add({"lost": 2}, {"lost": 3})
    assert file.records == [{"kept": 1}]
    file.add({"next": 4})
    file.close()
    assert lines(path) == [{"kept": 1}, {"next": 4}]


@pytest.mark.parametrize("line", [b"7", b"[]", b"", b"{", b'{"a":1}{"b":2}'])
def test_a_line_that_is_no_object_is_refused_and_not_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(json.dumps({"good": 1}).encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra"):
        DurableLines(path)
