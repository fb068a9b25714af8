"""Beacons and the order of things: the roll first, cosigned; then the round; then the draw."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from counters import kept_rolls, roll_sealing
from counters.audit_entries import RollEntry
from counters.audit_order import OrderError, order_of
from counters.audit_publishing import AuditRefusedError, RoundAsked, publish_draw, publish_result, round_of
from counters.audit_result import AuditResult, read_result, sign_result
from counters.beacon import DRAND, BeaconError, BeaconValue, Round, read_value
from counters.event import Audit, Event, Simulation, WitnessOfEvent
from counters.ledger.cosignature import cosign, with_cosignatures, witness_key
from counters.ledger.note import NoteError, Signer, sign_note
from counters.trust_policy import TrustPolicy
from tests.counters.ledger_at_hand import EVENT, LedgerAtHand
from tests.counters.synthetic import SIGNER
from tests.counters.test_roll_sealing import OVER, held, rolls, seal

ROUND_AT = int(OVER) + 3600
WITNESSES = [Signer(f"witness-{number}.example", bytes(range(number, 32 + number))) for number in (1, 2)]
VALUE = "5e" * 32


def witnessed(required: int, simulation: Simulation | None = None) -> Event:
    named = tuple(
        WitnessOfEvent(f"w{number}", witness_key(each).encode(), "A newspaper")
        for number, each in enumerate(WITNESSES, 1)
    )
    return replace(EVENT, simulation=simulation, witnesses=named, required_witnesses=required)


def cosigned(tmp_path: Path, event: Event, *times: int) -> tuple[LedgerAtHand, RollEntry]:
    """A ledger whose roll was published with cosignatures of these times, 0 = none."""
    ledger = held(tmp_path / "data", event=event)
    seal(ledger, Round("newspaper-lottery", 7, ROUND_AT))
    checkpoint, note = ledger.sealer.log.signed
    lines = [cosign(checkpoint.encode(), who, at) for who, at in zip(WITNESSES, times, strict=False) if at]
    ledger.sealer.log.publish(with_cosignatures(note, lines))
    roll_sealing.complete(ledger.sealer, rolls(ledger))
    roll = ledger.sealer.audits.roll
    assert roll is not None
    return ledger, roll


def order(ledger: LedgerAtHand, roll: RollEntry, policy: TrustPolicy | None = None) -> bool:
    """Whether witnesses say that the roll came first."""
    proof = kept_rolls.proof_of(roll, rolls(ledger))
    entry = ledger.sealer.log.entry(roll.index)
    try:
        return order_of(ledger.event, roll, entry, proof, SIGNER.verifier, policy).witnessed
    finally:
        ledger.sealer.close()


EARLY, LATE = ROUND_AT - 1, ROUND_AT


@pytest.mark.parametrize(
    ("required", "times", "said"),
    [
        (2, (EARLY, EARLY), True),
        (1, (EARLY, LATE), True),
        (1, (0, EARLY), True),
        (2, (EARLY, LATE), "not cosigned by as many as must"),
        (1, (LATE, LATE), "not cosigned by as many as must"),
        (0, (EARLY,), True),
        (0, (LATE,), False),
        (0, (), False),
    ],
)
def test_a_draw_stands_on_witnesses_that_saw_the_roll_before_the_round(
    tmp_path: Path, required: int, times: tuple[int, ...], said: bool | str
) -> None:
    ledger, roll = cosigned(tmp_path, witnessed(required), *times)
    if isinstance(said, str):
        with pytest.raises(AuditRefusedError, match=said):
            publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
        with pytest.raises(OrderError, match=said):
            order(ledger, roll)
        return
    told = publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
    assert told["witnessed"] is said
    assert ("NO OUTSIDE WITNESS" in told["order"]) is not said
    assert order(ledger, roll) is said


@pytest.mark.parametrize("times", [(EARLY, EARLY), (LATE, LATE)])
def test_on_a_simulated_clock_no_times_show_that_the_roll_came_first(tmp_path: Path, times: tuple[int, ...]) -> None:
    ledger, roll = cosigned(tmp_path, witnessed(2, EVENT.simulation), *times)
    told = publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
    assert told["witnessed"] is False
    assert told["order"].startswith("SIMULATED: ")
    assert "cosigned before" not in told["order"]
    assert order(ledger, roll) is False


def test_on_a_simulated_clock_as_many_as_must_have_cosigned(tmp_path: Path) -> None:
    ledger, _ = cosigned(tmp_path, witnessed(2, EVENT.simulation), EARLY)
    with pytest.raises(AuditRefusedError, match="not cosigned by as many as must: cosigned by w1"):
        publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
    ledger.sealer.close()


def test_an_auditors_own_policy_decides_whose_cosignatures_count(tmp_path: Path) -> None:
    ledger, roll = cosigned(tmp_path, witnessed(0), EARLY, LATE)
    lines = [f"witness w{number} {witness_key(each).encode()}" for number, each in enumerate(WITNESSES, 1)]
    policy = "\n".join([f"log {SIGNER.verifier.encode()}", *lines, "group both all w1 w2", "quorum {}"])
    proof, entry = kept_rolls.proof_of(roll, rolls(ledger)), ledger.sealer.log.entry(roll.index)

    def judged(quorum: str) -> bool:
        trust = TrustPolicy.decode(policy.format(quorum))
        return order_of(ledger.event, roll, entry, proof, SIGNER.verifier, trust).witnessed

    assert judged("w1")
    assert judged("none")
    for quorum in ("w2", "both"):
        with pytest.raises(OrderError, match="not cosigned by as many"):
            judged(quorum)
    with pytest.raises(OrderError, match="proof of the roll's entry"):
        order_of(ledger.event, roll, entry + b" ", proof, SIGNER.verifier, None)
    ledger.sealer.close()


def test_a_roll_that_says_itself_that_it_is_too_late_is_not_drawn_from_whoever_cosigned_it(tmp_path: Path) -> None:
    ledger, roll = cosigned(tmp_path, witnessed(1), EARLY, EARLY)
    late = replace(roll, at=ROUND_AT)
    with pytest.raises(OrderError, match="and its beacon round happened at"):
        order(ledger, late)


# Beacons.


def test_drands_rounds_are_at_their_times_and_its_value_is_the_hash_of_its_signature() -> None:
    """Round 1 of the default chain as the League of Entropy published it; round 27,946,612 was 2026-04-20 00:00 UTC."""
    signature = (
        "8d61d9100567de44682506aea1a7a6fa6e5491cd27a0a0ed349ef6910ac5ac20ff7bc3e09d7c046566c9f7f3c6f3b10104990e7cb4249982"
        "03d8f7de586fb7fa5f60045417a432684f85093b06ca91c769f0e7ca19268375e659c2a2352b4655"
    )
    randomness = "101297f1ca7dc44ef6088d94ad5fb7ba03455dc33d53ddb412bbc4564ed986ec"
    assert DRAND["drand-default"].at(1) == 1_595_431_050
    assert DRAND["drand-quicknet"].at(27_946_612) == 1_776_643_200
    of = Round("drand-default", 1, DRAND["drand-default"].at(1))
    answer = f'{{"round": 1, "randomness": "{randomness}", "signature": "{signature}"}}'
    assert read_value(answer, of) == BeaconValue(bytes.fromhex(randomness), bytes.fromhex(signature))
    assert read_value(f'{{"round": 1, "signature": "{signature}"}}', of).value.hex() == randomness
    assert read_value(randomness.upper() + "\n", of) == BeaconValue(bytes.fromhex(randomness))
    assert of.look_up().endswith("/8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce/public/1")
    for wrong, words in (
        (answer.replace('"round": 1', '"round": 2'), "of round 2"),
        (answer.replace(randomness, "00" * 32), "not the SHA-256"),
        (answer.replace(randomness, "00"), "16 to 64 bytes"),
        ("00" * 31, "has 32 bytes"),
        ('{"round": 1}', "hexadecimal"),
    ):
        with pytest.raises(BeaconError, match=words):
            read_value(wrong, of)


def test_a_corrected_rolls_round_is_to_come() -> None:
    event = replace(EVENT, audit=Audit("drand-quicknet", 27_946_612, 100))
    at = DRAND["drand-quicknet"].at(27_946_613)
    assert round_of(event, RoundAsked(27_946_613), at - 1) == Round("drand-quicknet", 27_946_613, at)
    with pytest.raises(AuditRefusedError, match="is to come"):
        round_of(event, RoundAsked(27_946_613), at)
    with pytest.raises(AuditRefusedError, match="follows from the round"):
        round_of(event, RoundAsked(27_946_613, at=at), at - 1)
    with pytest.raises(AuditRefusedError, match="names no beacon"):
        round_of(EVENT, RoundAsked(7), at)
    assert round_of(EVENT, RoundAsked(7, "lottery", at + 1), at) == Round("lottery", 7, at + 1)


# Results.

AUDITOR = Signer("auditor.example", bytes(range(7, 39)))


def test_a_result_is_published_once_under_the_auditors_key_and_only_about_its_draw(tmp_path: Path) -> None:
    ledger, roll = cosigned(tmp_path, EVENT)
    told = publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
    again = publish_draw(ledger.sealer, SIGNER.verifier, VALUE, ledger.now, rolls(ledger))
    assert (told["new"], again["new"], again["entry"]) == (True, False, told["entry"])
    result = AuditResult(EVENT.digest, told["entry"], roll.root, 3, 3, 1, order_witnessed=False)
    vkey, note = AUDITOR.verifier.encode(), sign_result(result, AUDITOR)
    assert read_result(note, vkey) == result
    assert result.bogus_at_most == 1

    def publish(note: bytes, auditor: str = vkey, draw: int = told["entry"]) -> dict[str, object]:
        return publish_result(ledger.sealer, draw, auditor, note.decode(), ledger.now)

    size = ledger.sealer.log.size
    for wrong in (
        replace(result, event_sha256="ab" * 32),
        replace(result, draw=told["entry"] + 1),
        replace(result, root=bytes(32)),
        replace(result, size=4),
        replace(result, drawn=2),
    ):
        with pytest.raises(AuditRefusedError, match="about another draw"):
            publish(sign_result(wrong, AUDITOR))
    with pytest.raises(AuditRefusedError):
        publish(note, SIGNER.verifier.encode())
    with pytest.raises(AuditRefusedError):
        publish(note.replace(b'"bogus":1', b'"bogus":0'))
    with pytest.raises(AuditRefusedError, match="is no draw"):
        publish(note, draw=0)
    assert ledger.sealer.log.size == size
    assert publish(note) == {"entry": size, "new": True}
    assert publish(note) == {"entry": size, "new": False}
    (entry,) = ledger.checked().audits.results
    assert (entry.index, entry.result, entry.draw.index) == (size, result, told["entry"])
    ledger.sealer.close()


def test_a_result_whose_bound_is_not_that_of_its_figures_is_none() -> None:
    result = AuditResult("ab" * 32, 5, hashlib.sha256(b"").digest(), 1000, 300, 0, order_witnessed=True)
    text, _, _ = sign_result(result, AUDITOR).decode().partition("\n\n")
    vkey = AUDITOR.verifier.encode()
    for old, new in (
        ('"bogus_at_most":8', '"bogus_at_most":3'),
        ('"bogus":0', '"bogus":301'),
        ('"drawn":300', '"drawn":1001'),
        ('"size":1000', '"size":99999999999'),
        ('"size":1000', '"size":1000.5'),
        ('"order_witnessed":true', '"order_witnessed":1'),
        ("turnout roll audit v1", "turnout roll audit v2"),
    ):
        assert old in text
        with pytest.raises(NoteError):
            read_result(sign_note(text.replace(old, new) + "\n", [AUDITOR]), vkey)
