"""From the last minute of an event to a receipt in an attendee's hand, and to being forgotten: no proof breaks."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from counters.issuer_keys import thumbprint
from counters.receipt import read_receipt
from counters.roll_leaf import RollLeaf
from counters.secrets import Secrets
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import DevelopmentIssuer
from gateway.viewing_token import TokenKeys, ViewingToken
from tests.faults.rig import WINDOW, Rig
from tests.gateway.commands import CERTAIN_S, turnout
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import Answer, ask, until

LATE_UNTIL = datetime.fromisoformat("2023-11-23T00:00:00+08:00").timestamp()


def receipt(rig: Rig, credential: str) -> Answer:
    bearer = {"Authorization": f"Bearer {credential}"}
    return ask(rig.gateways[0].port, "GET", "/v1/events/expo/receipt", b"", bearer)


def verified(*arguments: str | Path, cwd: Path) -> tuple[int, dict[str, Any]]:
    done = turnout("verify", "--json", *arguments, cwd=cwd)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def over(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An event that is over: alice for three minutes, bob for one, its roll sealed, everything still running."""
    folder = tmp_path_factory.mktemp("receipts")
    with Rig(folder, redis_program, event=EVENT_FILE) as rig:
        rig.jump(WINDOW)
        alice, bob = rig.crowd.join(["alice", "bob"])
        assert receipt(rig, alice.token.decode()).reason == "roll_not_sealed"
        for players in ([alice, bob], [alice], [alice]):
            assert rig.crowd.beat(players) == len(players)
            rig.next_window()
        rig.settle()
        rig.jump(LATE_UNTIL + 5)
        until(lambda: any(leaf["type"] == "roll" for leaf in rig.leaves()), "the roll is sealed", CERTAIN_S)
        until(lambda: receipt(rig, alice.token.decode()).status == 200, "receipts can be given", CERTAIN_S)
        yield rig


def test_an_attendee_gets_a_receipt_with_token_or_ticket_that_anybody_can_check(over: Rig, tmp_path: Path) -> None:
    alice = over.crowd.players[0]
    ticket = over.crowd._mint("alice")
    notes = [receipt(over, credential) for credential in (alice.token.decode(), ticket)]
    assert [answer.status for answer in notes] == [200, 200]
    assert "receipt.txt" in notes[0].headers["content-disposition"]
    documents = [read_receipt(answer.body).document for answer in notes]
    assert documents[0]["roll"] == documents[1]["roll"]
    (session,) = documents[0]["sessions"]
    assert (session["minutes"], session["minutes_in_schedule"], session["channel"]) == (3, 3, "online")
    (tmp_path / "receipt.txt").write_bytes(notes[0].body)
    code, report = verified("receipt.txt", "--policy", over.data / "trust-policy", cwd=tmp_path)
    assert (code, report["verdict"]) == (0, "holds"), report
    (tmp_path / "ticket.jwt").write_text("another.ticket.entirely")
    code, report = verified(
        "receipt.txt", "--policy", over.data / "trust-policy", "--ticket", "ticket.jwt", cwd=tmp_path
    )
    assert [check["name"] for check in report["checks"] if check["passed"] is False] == ["whose it is"]
    assert code == 1


def test_who_shows_nothing_good_gets_nothing(over: Rig) -> None:
    assert receipt(over, "").reason == "ticket_missing"
    assert receipt(over, "x" * 64).reason.startswith("token_")
    assert receipt(over, over.crowd._mint("nobody")).reason == "not_on_roll"


def test_nobody_gets_somebody_elses_receipt(over: Rig) -> None:
    """By no token or ticket but that attendee's own; only the organiser's and the issuer's keys could make another."""
    alice, bob = over.crowd.players[:2]
    assert {RollLeaf.decode(read_receipt(receipt(over, each.token.decode()).body).leaf).seat for each in (alice, bob)} \
        == {alice.seat, bob.seat}  # fmt: skip
    raw = bytearray(base64.urlsafe_b64decode(bob.token))
    raw[4:8] = alice.seat.to_bytes(4, "little")
    now = over.clock.now()
    token = ViewingToken(alice.seat, 1, 1, 1, 1, int(now))
    issuer, of = DevelopmentIssuer.load(over.data / "development-issuer", "tickets"), over.event.issuers[0]
    ticket = issuer.mint(of, "alice", now=now)
    head, claims, signature = ticket.split(".")
    bobs = issuer.mint(of, "bob", now=now).split(".")
    for credential, reason in (
        (base64.urlsafe_b64encode(raw).decode(), "token_forged"),
        (TokenKeys.derive(over.secrets, "another").seal(token), "token_other_event"),
        (TokenKeys.derive(Secrets(bytes(32), bytes(32)), "expo").seal(token), "token_forged"),
        (f"{head}.{claims}.{bobs[2]}", "ticket_forged"),
        (f"{bobs[0]}.{claims}.{bobs[2]}", "ticket_forged"),
        (f"{b64({'alg': 'none'})}.{claims}.", "ticket_algorithm"),
        (f"{b64({'alg': 'none'})}.{claims}.{signature}", "ticket_algorithm"),
        (issuer.mint(of, "alice", now=now, claims={"aud": "another"}), "ticket_audience"),
        (issuer.mint(of, "alice", now=now, claims={"iss": "https://another.example"}), "ticket_unknown_issuer"),
        (issuer.mint(of, "alice", now=now - 10**6, lifetime_s=60), "ticket_expired"),
        ("alic\u00e9.\u00ff\u0080.\u00e9", "ticket_malformed"),
    ):
        assert receipt(over, credential).reason == reason, (credential, reason)
    elsewhere = ask(over.gateways[0].port, "GET", "/v1/events/another/receipt", b"",
                    {"Authorization": f"Bearer {ticket}"})  # fmt: skip
    assert elsewhere.reason == "event_unknown"


def b64(document: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_the_organiser_gives_a_receipt_by_subject(over: Rig, tmp_path: Path) -> None:
    done = over.turnout("receipt", over.event_file, "--data", over.data, "--subject", "bob", "-o", tmp_path / "bob.txt")
    assert done.returncode == 0, done.stderr
    (session,) = read_receipt((tmp_path / "bob.txt").read_bytes()).document["sessions"]
    assert session["minutes"] == 1
    unknown = over.turnout("receipt", over.event_file, "--data", over.data, "--subject", "carol")
    assert (unknown.returncode, "Nobody on the roll" in unknown.stderr) == (2, True), unknown.stderr


def test_somebody_is_forgotten_and_every_proof_still_holds(over: Rig, tmp_path: Path) -> None:
    certified = over.turnout("certify", over.event_file, "--data", over.data, "-o", tmp_path / "certificate.json")
    assert certified.returncode == 0, certified.stderr
    registry = over.redis.url
    forgotten = over.turnout(
        "forget", over.event_file, "--data", over.data, "--subject", "bob", "--redis", registry, "--yes"
    )
    assert forgotten.returncode == 0, forgotten.stderr
    assert "registry entries deleted: 1" in forgotten.stdout
    for _ in range(2):
        code, report = verified(
            tmp_path / "certificate.json", "--log", over.data / "log", "--evidence", over.data / "evidence",
            "--policy", over.data / "trust-policy", cwd=tmp_path,
        )  # fmt: skip
        assert (code, report["verdict"]) == (0, "holds"), report
    unknown = over.turnout("forget", over.event_file, "--data", over.data, "--subject", "carol", "--yes")
    assert (unknown.returncode, "nobody with the subject" in unknown.stderr) == (2, True), unknown.stderr


def test_the_list_of_attendees_is_under_pseudonyms_and_joined_with_the_organisers_own(
    over: Rig, tmp_path: Path
) -> None:
    command = ("attendees", over.event_file, "--data", over.data, "-o", tmp_path / "attendees.parquet")
    done = over.turnout(*command)
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "attendees.parquet")
    rows = {row["seat"]: row for row in table.to_pylist()}
    assert sorted((row["session"], row["channel"], row["minutes"]) for row in rows.values()) == [
        ("opening", "online", 1), ("opening", "online", 3)
    ]  # fmt: skip
    alice = rows[over.crowd.players[0].seat]
    assert alice["first"].timestamp() == WINDOW
    assert (alice["last"] - alice["first"]).total_seconds() == 120
    assert "alice" not in str(table.to_pylist())
    assert table.schema.metadata[b"simulated"] == b"True"
    (tmp_path / "own.csv").write_text("subject,name\nalice,Alice Example\ncarol,Carol Example\n")
    joined = over.turnout(*command, "--join", tmp_path / "own.csv")
    assert (joined.returncode, "joined with 1 of your list; 1 of it" in joined.stdout) == (0, True), joined
    names = {row["seat"]: row["name"] for row in parquet.read_table(tmp_path / "attendees.parquet").to_pylist()}
    assert names == {over.crowd.players[0].seat: "Alice Example", over.crowd.players[1].seat: None}
    (tmp_path / "own.csv").write_text("name\nAlice\n")
    refused = over.turnout(*command, "--join", tmp_path / "own.csv")
    assert (refused.returncode, "column 'subject'" in refused.stderr) == (2, True), refused.stderr


def test_after_a_corrected_roll_and_a_retired_key_receipts_are_of_the_new_roll_and_not_for_that_keys_tickets(
    over: Rig,
) -> None:
    alice = over.crowd.players[0]
    before = read_receipt(receipt(over, alice.token.decode()).body).document
    corrected = ("audit", "roll", over.event_file, "--data", over.data, "--beacon", "lottery", "--round", "1")
    done = over.turnout(*corrected, "--round-at", "2023-12-01T00:00:00+08:00")
    assert done.returncode == 0, done.stderr
    until(lambda: receipt(over, alice.token.decode()).status == 200, "receipts of the new roll can be given", CERTAIN_S)
    after = read_receipt(receipt(over, alice.token.decode()).body).document
    assert "lottery" in str(after["roll_entry"])
    assert "lottery" not in str(before["roll_entry"])
    assert (after["sessions"], after["roll"]["leaf"]) == (before["sessions"], before["roll"]["leaf"])
    ticket = over.crowd._mint("alice")
    assert receipt(over, ticket).status == 200
    key = thumbprint(over.event.issuers[0].keys[0])
    done = over.turnout("issuer-key", over.event_file, "--data", over.data, "--retire", key, "--reason", "it leaked")
    assert done.returncode == 0, done.stderr
    assert receipt(over, ticket).reason == "ticket_key_retired"
    assert receipt(over, alice.token.decode()).status == 200
