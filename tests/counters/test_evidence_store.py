"""The store of evidence: durable, named by digest, verified when read."""

import hashlib
import os
from pathlib import Path

import pytest

from counters.evidence_store import EvidenceError, EvidenceStore
from tests.counters.fragile_disk import CrashError, FaultyDisk


def test_what_was_put_is_read_back_under_its_digest(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "evidence")
    digest = store.put(b"a segment")
    assert digest == hashlib.sha256(b"a segment").hexdigest()
    assert store.get(digest) == b"a segment"
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == [digest]


def test_putting_the_same_bytes_again_changes_nothing(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    digest = store.put(b"a segment")
    before = store.path(digest).stat().st_mtime_ns
    assert store.put(b"a segment") == digest
    assert store.path(digest).stat().st_mtime_ns == before


def test_changed_bytes_are_refused_on_reading_and_replaced_on_putting(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    digest = store.put(b"a segment")
    store.path(digest).write_bytes(b"a segmenT")
    with pytest.raises(EvidenceError, match="changed"):
        store.get(digest)
    store.put(b"a segment")
    assert store.get(digest) == b"a segment"


def test_an_absent_file_is_one_named_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="cannot be read"):
        EvidenceStore(tmp_path).get("0" * 64)


@pytest.mark.parametrize("name", ["", "../secret", "A" * 64, "0" * 63 + "/", "0" * 65])
def test_a_name_that_is_no_digest_leads_nowhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvidenceError, match="no SHA-256"):
        EvidenceStore(tmp_path).get(name)


def test_a_disk_that_refuses_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = EvidenceStore(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        store.put(b"a segment")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_of_the_folder_looks_into_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        EvidenceStore(tmp_path / "evidence").put(b"seats")
    finally:
        os.umask(before)
    assert (tmp_path / "evidence").stat().st_mode & 0o777 == 0o700


def test_what_a_crash_left_half_written_goes_and_the_evidence_stays(tmp_path: Path) -> None:
    disk = FaultyDisk(fail_at=0, after=True)
    with pytest.raises(CrashError):
        EvidenceStore(tmp_path, disk).put(b"half")
    whole = EvidenceStore(tmp_path).put(b"whole")
    assert len(list(tmp_path.iterdir())) == 2
    EvidenceStore(tmp_path).sweep()
    assert [path.name for path in tmp_path.iterdir()] == [whole]
