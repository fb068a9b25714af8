"""A receipt says to an attendee that they were counted, once; whatever is changed in it does not verify."""

from pathlib import Path

import numpy as np
import pytest

from counters import canonical_json, roll_sealing
from counters.attendance_table import ROW
from counters.audit_entries import roll_entry
from counters.kept_rolls import newest_sealed
from counters.ledger.log import Log
from counters.ledger.note import Signer, sign_note
from counters.ledger.reader import LogReader
from counters.minutes_files import MINUTES, minutes_of, write_minutes
from counters.receipt import FIRST_LINE, ReceiptError, is_receipt, issue, read_receipt
from counters.roll_leaf import RollLeaf
from counters.trust_policy import TrustPolicy
from counters.verify_receipt import verify_receipt
from tests.counters.ledger_at_hand import EVENT
from tests.counters.synthetic import SIGNER
from tests.counters.test_roll_sealing import OVER, held, rolls, seal
from tests.counters.worker_at_hand import NINE, a_join

POLICY = TrustPolicy.decode(f"log {SIGNER.verifier.encode()}\nquorum none\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the ledger that gave the receipt."""
    return tmp_path_factory.mktemp("receipt") / "data"


@pytest.fixture(scope="module")
def note(data: Path) -> bytes:
    """The receipt of whoever has seat 2."""
    ledger = held(data)
    seal(ledger)
    roll = newest_sealed(rolls(ledger))
    assert roll is not None
    online = [(1, 1, 1, 5, 5, NINE, NINE), (2, 1, 1, 50, 48, NINE, NINE + 51 * 60)]
    onsite = [(1, 1, 2, 5, 5, NINE, NINE)]
    write_minutes(roll.folder / MINUTES, [np.array(rows, ROW) for rows in (online, onsite)])
    sessions = minutes_of(EVENT, roll.folder / MINUTES, 2)
    receipt = issue(
        EVENT, ledger.sealer.signer if hasattr(ledger.sealer, "signer") else SIGNER, roll, 2, sessions, OVER
    )
    ledger.sealer.close()
    return receipt


def signed_anew(note: bytes, signer: Signer = SIGNER, **changes: object) -> bytes:
    """The receipt with other members, under a signature of its own."""
    document = read_receipt(note).document | changes
    return sign_note(f"{FIRST_LINE}\n{canonical_json.encode(document).decode()}\n", [signer])


def failed(note: bytes, **given: object) -> set[str]:
    return {check.name for check in verify_receipt(note, policy=POLICY, **given).failed}  # type: ignore[arg-type]


def test_a_receipt_holds_and_says_the_minutes_of_its_attendee(note: bytes) -> None:
    assert is_receipt(note)
    report = verify_receipt(note, policy=POLICY)
    assert report.holds
    assert [check.name for check in report.unchecked] == ["newest roll", "whose it is"]
    (row,) = read_receipt(note).document["sessions"]
    assert (row["session"], row["channel"], row["minutes"], row["minutes_in_schedule"]) == ("opening", "online", 50, 48)
    assert (row["first"], row["last"]) == (EVENT.iso(NINE), EVENT.iso(NINE + 51 * 60))
    assert "48 of" in report.checks[-1].detail


def test_without_a_policy_the_key_is_open_and_under_another_it_fails(note: bytes) -> None:
    assert {check.name for check in verify_receipt(note).unchecked} == {
        "trusted key", "quorum", "newest roll", "whose it is",
    }  # fmt: skip
    other = Signer.generate(SIGNER.verifier.name)
    policy = TrustPolicy.decode(f"log {other.verifier.encode()}\nquorum none\n")
    assert "trusted key" in {check.name for check in verify_receipt(note, policy=policy).failed}


def test_the_ticket_says_whose_it_is(note: bytes) -> None:
    leaf = RollLeaf.decode(read_receipt(note).leaf)
    assert leaf.token_digest == a_join(2).token_digest
    assert "whose it is" in failed(note, ticket=b"another.ticket.entirely")


def test_only_the_log_can_tell_that_the_roll_was_corrected(note: bytes, data: Path, tmp_path: Path) -> None:
    (offline,) = [check for check in verify_receipt(note, policy=POLICY).checks if check.name == "newest roll"]
    assert (offline.passed, offline.asked) == (None, False)
    assert "only the public log can show" in offline.detail
    entries = list(LogReader(data / "log", SIGNER.verifier).entries())
    assert failed(note, log_dir=data / "log") == set()
    document = read_receipt(note).document
    rolled = canonical_json.encode(document["roll_entry"])
    again = roll_entry(EVENT, 2, bytes(32), len(entries), None, OVER + 60, "turnout test")
    histories = {
        "corrected": ([*entries, again], "was superseded by the one of entry"),
        "older": (entries[: entries.index(rolled)], "fetch it anew"),
        "another": ([*entries[: entries.index(rolled)], again], "has signed two histories"),
    }
    for name, (others, words) in histories.items():
        with Log.open(tmp_path / name / "log", SIGNER) as log:
            log.append(others)
        report = verify_receipt(note, policy=POLICY, log_dir=tmp_path / name / "log")
        (check,) = [check for check in report.checks if check.name == "newest roll"]
        assert check.passed is (None if name == "older" else False), name
        assert words in check.detail


def test_every_byte_is_under_the_signature(note: bytes) -> None:
    for at in range(0, len(note), 3):
        changed = bytearray(note)
        changed[at] ^= 1
        assert failed(bytes(changed)), (at, note[max(at - 20, 0) : at + 20])


def test_what_the_organiser_signs_still_has_to_be_in_the_log(note: bytes) -> None:
    document = read_receipt(note).document
    roll, entry = document["roll"], document["roll_entry"]
    assert "on the roll" in failed(signed_anew(note, roll=roll | {"index": roll["index"] ^ 1}))
    assert "on the roll" in failed(signed_anew(note, roll=roll | {"proof": roll["proof"][:-1]}))
    assert "roll in the log" in failed(signed_anew(note, roll_entry=entry | {"size": entry["size"] + 1}))
    assert "roll in the log" in failed(signed_anew(note, roll_entry=entry | {"type": "window"}))
    assert "roll in the log" in failed(signed_anew(note, event_sha256="00" * 32))
    assert "roll in the log" in failed(signed_anew(note, simulated=not document["simulated"]))
    assert "minutes" in failed(signed_anew(note, sessions=[document["sessions"][0] | {"minutes_in_schedule": "many"}]))
    assert "minutes" in failed(signed_anew(note, sessions=[document["sessions"][0] | {"minutes_in_schedule": -1}]))
    assert "signature" in failed(signed_anew(note, Signer.generate(SIGNER.verifier.name)))


def test_what_is_no_receipt_is_one_named_failure(note: bytes) -> None:
    checkpoint = sign_note("example.com/log\n0\nAA==\n", [SIGNER])
    for data in (b"", checkpoint, note[:-5], signed_anew(note, more=1), signed_anew(note, version=2)):
        assert failed(data) == {"form"}, data
    with pytest.raises(ReceiptError):
        read_receipt(checkpoint)


def test_nobody_elses_minutes_are_found(tmp_path: Path) -> None:
    write_minutes(tmp_path, [np.array([(seat, 1, 1, 1, 1, NINE, NINE) for seat in (2, 5)], ROW)])
    assert [list(minutes_of(EVENT, tmp_path, seat)) != [] for seat in (1, 2, 3, 5, 6)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_roll_without_its_proof_gives_no_receipt(tmp_path: Path) -> None:
    assert newest_sealed(tmp_path / roll_sealing.FOLDER) is None
