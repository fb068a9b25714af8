"""A ledger that was set back: what it hears of, what stops it, and how the log says that it goes on."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counters.ledger.log import LogCorruptError
from counters.log_entries import read_log
from counters.restoration import RestoredLeaf, SeenBefore
from counters.sealing import Sealer
from counters.setback import SETBACK_FILE, SKIPPED_BLOCKS, Setback, declare_restored
from counters.sighting import Claim, Sighting
from tests.counters.fragile_disk import CrashError, FaultyDisk
from tests.counters.ledger_at_hand import COMMITMENT, EVENT, A, B, LedgerAtHand, bundle, presence
from tests.counters.synthetic import SIGNER
from tests.counters.worker_at_hand import NINE


def minute(ledger: LedgerAtHand, number: int) -> None:
    window = NINE + 60 * number
    ledger.now = window + 61.0
    ledger.accept(bundle(window, (presence(window, {1, 2, 3}),)))
    ledger.settle()


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[LedgerAtHand]:
    """A ledger that has gone on since the copy in `old` was made."""
    ledger = LedgerAtHand(tmp_path / "data")
    ledger.sealer.grant(A, "gw-1", 2, NINE)
    minute(ledger, 0)
    shutil.copytree(ledger.data, tmp_path / "old")
    ledger.sealer.grant(B, "gw-2", 3, NINE)
    minute(ledger, 1)
    yield ledger
    ledger.sealer.close()


@pytest.fixture
def restored(newer: LedgerAtHand, tmp_path: Path) -> Iterator[LedgerAtHand]:
    ledger = LedgerAtHand(tmp_path / "old", now=newer.now)
    yield ledger
    ledger.sealer.close()


def setback_of(ledger: LedgerAtHand) -> Setback:
    return Setback(ledger.data, ledger.sealer)


def test_what_the_data_bear_out_stops_nothing(newer: LedgerAtHand, restored: LedgerAtHand) -> None:
    setback = setback_of(newer)
    for seen in (restored.sealer.sighting(), newer.sealer.sighting(), None):
        assert not setback.hear(Claim("gw-1", seen))
    assert setback.why() == ""
    assert setback.heard == {"gw-1"}
    assert not (newer.data / SETBACK_FILE).exists()


def test_a_gateway_that_only_repeats_what_it_was_just_shown_bears_nothing_out(newer: LedgerAtHand) -> None:
    setback = setback_of(newer)
    for seen in (None, newer.sealer.sighting()):
        assert not setback.hear(Claim("forgetful", seen))
    assert setback.heard == set()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 4}, "a log of 4 entries, here are 2"),
        ({"blocks": 5}, "5 blocks of seats granted, here are 2"),
        ({"reports": 2}, "2 hand-overs accepted, here are 1"),
        ({"root": b"\1" * 32}, "another log of 2 entries"),
        ({"size": 1, "root": b"\1" * 32}, "another log of 1 entries"),
        ({"restored": 1}, "a log that was restored 1 times, here are 0"),
    ],
)
def test_whatever_a_gateway_has_seen_more_of_stops_the_ledger_and_is_said(
    restored: LedgerAtHand, changes: dict[str, Any], words: str
) -> None:
    setback = setback_of(restored)
    claim = Claim("hall-a", replace(restored.sealer.sighting(), **changes))
    assert setback.hear(claim)
    assert not setback.hear(claim), "that is no news"
    assert f"gateway hall-a saw {words};" in setback.why()


def test_no_restart_forgets_what_was_heard_and_newer_data_settle_it(
    newer: LedgerAtHand, restored: LedgerAtHand
) -> None:
    setback = setback_of(restored)
    setback.hear(Claim("gw-1", newer.sealer.sighting()))
    setback.keep()
    restored.restart()
    assert "gateway gw-1 saw a log of" in setback_of(restored).why()
    shutil.copy(restored.data / SETBACK_FILE, newer.data / SETBACK_FILE)
    assert setback_of(newer).why() == ""
    assert not (newer.data / SETBACK_FILE).exists()


def test_the_log_says_how_far_it_was_seen_and_goes_on(newer: LedgerAtHand, restored: LedgerAtHand) -> None:
    seen = newer.sealer.sighting()
    setback = setback_of(restored)
    setback.hear(Claim("gw-1", seen))
    setback.keep()
    size = restored.sealer.log.size
    done = declare_restored(restored.sealer, setback, restored.now)
    assert (done.number, done.next_block) == (1, seen.blocks + SKIPPED_BLOCKS)
    restored.restart()

    log = read_log(restored.entries())
    assert log.restored == (
        RestoredLeaf(
            index=size, number=1, since=NINE + 61, at=int(restored.now),
            seen=(SeenBefore("gw-1", seen.size, seen.root, seen.blocks, seen.reports),),
        ),
    )  # fmt: skip
    after = setback_of(restored)
    assert after.why() == ""
    assert not after.hear(Claim("gw-1", seen)), "what was seen before the leaf is settled"
    assert restored.sealer.sighting().restored == 1
    assert restored.sealer.grant(B, "gw-2", 1, NINE) == [done.next_block]
    minute(restored, 2)
    assert restored.present()[2] == 3
    # Set back once more, to before the leaf, it is noticed again.
    assert setback_of(newer).hear(Claim("gw-1", restored.sealer.sighting()))


@pytest.mark.parametrize("after", [False, True], ids=["before the step", "after it"])
def test_declared_again_after_a_crash_anywhere_no_seat_is_granted_twice(
    newer: LedgerAtHand, restored: LedgerAtHand, tmp_path: Path, after: bool
) -> None:
    seen = newer.sealer.sighting()
    setback = setback_of(restored)
    setback.hear(Claim("gw-1", seen))
    setback.keep()
    restored.sealer.close()
    for fail_at in range(100):
        data = shutil.copytree(restored.data, tmp_path / f"{fail_at}")
        if not _breaks(data, fail_at, after=after):
            break
        ledger = LedgerAtHand(data, now=restored.now)
        again = setback_of(ledger)
        if again.why():
            declare_restored(ledger.sealer, again, ledger.now)
        assert setback_of(ledger).why() == ""
        assert ledger.sealer.grant(B, "gw-2", 1, NINE)[0] >= seen.blocks
        assert len(read_log(ledger.entries()).restored) == 1
        ledger.sealer.close()
    assert fail_at > 10
    restored.open()


def _breaks(data: Path, fail_at: int, *, after: bool) -> bool:
    """Declare on a disk that fails at a step of it; whether it came to that step."""
    disk = FaultyDisk(after=after)
    sealer = Sealer(data, EVENT, COMMITMENT, SIGNER, NINE + 200.0, disk)
    setback = Setback(data, sealer, disk)
    disk.fail_at = disk.steps + fail_at
    try:
        declare_restored(sealer, setback, NINE + 200.0)
    except CrashError:
        return True
    finally:
        sealer.close()
    return False


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b'{"claims": [{}]}', json.dumps({"claims": [{"gateway": "g", "size": 1}]}).encode()]
)
def test_a_setback_file_that_cannot_be_read_is_not_taken_for_none(restored: LedgerAtHand, damage: bytes) -> None:
    (restored.data / SETBACK_FILE).write_bytes(damage)
    with pytest.raises(LogCorruptError, match="cannot be read"):
        setback_of(restored)


def test_the_most_of_what_a_gateway_says_is_kept(restored: LedgerAtHand) -> None:
    setback = setback_of(restored)
    far = Sighting(0, 9, b"\1" * 32, 5, 2)
    assert setback.hear(Claim("gw-1", far))
    assert setback.hear(Claim("gw-1", replace(far, size=7, blocks=8)))
    (claim,) = setback.claims
    assert claim.seen == replace(far, blocks=8)
