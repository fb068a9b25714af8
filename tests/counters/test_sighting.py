"""Sightings: what a gateway keeps of its ledger only ever becomes more, and survives whoever wrote it."""

from itertools import permutations
from pathlib import Path

import pytest

from counters.sighting import SEEN_FILE, Claim, Sighting, SightingFile

LOG = "ab" * 32
EARLY = Sighting(restored=0, size=3, root=b"\1" * 32, blocks=2, reports=5)
LATER = Sighting(restored=0, size=7, root=b"\2" * 32, blocks=2, reports=9)
GRANTED = Sighting(restored=0, size=3, root=b"\1" * 32, blocks=6, reports=5)
AFTERWARDS = Sighting(restored=1, size=4, root=b"\3" * 32, blocks=300, reports=5)


def test_in_whatever_order_it_is_seen_the_most_is_remembered(tmp_path: Path) -> None:
    for number, order in enumerate(permutations((EARLY, LATER, GRANTED))):
        spool = tmp_path / str(number)
        spool.mkdir()
        for seen in order:
            SightingFile(spool, LOG).note(seen)
        assert SightingFile(spool, LOG).read() == Sighting(0, 7, b"\2" * 32, 6, 9)


def test_after_a_restoration_what_was_seen_before_it_is_settled(tmp_path: Path) -> None:
    file = SightingFile(tmp_path, LOG)
    for seen in (LATER, AFTERWARDS, LATER):
        file.note(seen)
    assert file.read() == AFTERWARDS


def test_of_another_log_nothing_is_remembered(tmp_path: Path) -> None:
    SightingFile(tmp_path, LOG).note(LATER)
    other = SightingFile(tmp_path, "cd" * 32)
    assert other.read() is None
    assert other.note(EARLY) == EARLY


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version":2}', b"\xff" * 40])
def test_a_file_that_cannot_be_read_is_said_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / SEEN_FILE).write_bytes(damage)
    file = SightingFile(tmp_path, LOG)
    assert file.read() is None
    assert "what was seen of the ledger is forgotten" in caplog.text
    file.note(EARLY)
    assert file.read() == EARLY


def test_a_disk_that_refuses_leaves_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SightingFile(tmp_path, LOG)
    file.note(EARLY)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("counters.sighting.write_durably", full)
    with pytest.raises(OSError, match="No space"):
        file.note(LATER)
    monkeypatch.undo()
    assert file.read() == EARLY


def test_a_claim_is_one_line_of_ascii_and_reads_as_it_was_written() -> None:
    for claim in (Claim("hall-a", LATER), Claim("Halle B, Süd\r\nX: y", EARLY), Claim("new", None)):
        text = claim.encode()
        assert text.isascii()
        assert "\n" not in text
        assert "\r" not in text
        assert Claim.decode(text) == claim


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"gateway": 1}',
        '{"gateway": "g", "size": 1}',
        Claim("g", EARLY).encode().replace('"size": 3', '"size": -3'),
        Claim("g", EARLY).encode().replace('"size": 3', '"size": 3.0'),
        Claim("g", EARLY).encode().replace('"root": "AQEB', '"root": "AQ'),
    ],
)
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
        Claim.decode(text)
