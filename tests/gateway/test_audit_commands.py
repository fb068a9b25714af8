"""The audit from end to end through the real commands, as docs/audit.md has them."""

import hashlib
import json
import re
import shlex
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counters import evidence
from counters.attendee import pseudonym
from counters.clock import SimulatedClock
from counters.event import Event
from counters.evidence import SegmentHead, journal_segments
from counters.handover import HandOver, WorkerReport
from counters.issuer_keys import thumbprint
from counters.journal import Assurance, Join, JoinKind
from counters.log_key import LOG_KEY, load_or_create_signer
from counters.retained_tokens import FOLDER as TOKENS
from counters.retained_tokens import RetainedTokens
from counters.sealed_token import TokenSeal
from counters.sealing import Sealer
from counters.secrets import Secrets, load_or_create_secrets
from counters.tokens_file import pack
from gateway.cli import main
from gateway.development_issuer import DevelopmentIssuer, load_event_creating_keys
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import RunningLedger, ledger, until

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
VALUE = "5e" * 32
AUDIT = """
[audit]
beacon = "newspaper-lottery"
round = 7
round_at = 2023-11-24T00:00:00+08:00
k = 20
retain_tokens_until = 2023-12-31T00:00:00+08:00
"""
SIMULATION = "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n"
JOINED_AT = 1_700_355_700
WINDOW = JOINED_AT - JOINED_AT % 60
PEOPLE = 60


@dataclass
class Held:
    """An event that was held: real tickets, joined and retained; nothing is sealed yet."""

    folder: Path
    event: Event
    secrets: Secrets
    tickets: dict[str, str]  # by subject

    @property
    def data(self) -> Path:
        """The ledger's data directory."""
        return self.folder / "turnout-data"

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command; return what it said."""
        result: Result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return re.sub(r"\s+", " ", result.output)


def held(folder: Path, stuffed: int = 0, audit: str = AUDIT) -> Held:
    """Hold the event with some people, and with entries of invented people whom no ticket stands behind."""
    folder.mkdir(parents=True, exist_ok=True)
    path, data = folder / "event.toml", folder / "turnout-data"
    path.write_text(EVENT_FILE + audit + SIMULATION)
    event = load_event_creating_keys(path, data / "development-issuer")
    secrets = load_or_create_secrets(data / "secrets.json")
    issuer, claims = DevelopmentIssuer.load(data / "development-issuer", "tickets"), {"country": "FR", "category": "a"}
    subjects = [f"person-{number}" for number in range(PEOPLE)]
    tickets = {name: issuer.mint(event.issuers[0], name, now=JOINED_AT, claims=claims) for name in subjects}
    for number in range(stuffed):
        tickets[f"invented-{number}"] = f"nobody signed {number}"
    joins = [
        Join(
            seat=number, session=1, kind=JoinKind.TICKET, assurance=Assurance.TICKETED, filters=0, view=number + 9,
            joined_at_ms=JOINED_AT * 1000, pseudonym=pseudonym(secrets.pseudonym_key, "tickets", subject),
            token_digest=hashlib.sha256(ticket.encode()).digest(), address=bytes(8), issuer="tickets",
            key_thumbprint=thumbprint(event.issuers[0].keys[0]), country="FR", category="a", outlet="", network="",
            agent="",
        )
        for number, (subject, ticket) in enumerate(tickets.items(), start=1)
    ]  # fmt: skip
    SimulatedClock.create(data / "clock", JOINED_AT, 0.0)
    signer = load_or_create_signer(data / LOG_KEY, "turnout.invalid/expo")
    sealer = Sealer(data, event, secrets.pseudonym_commitment, signer, JOINED_AT)
    (segment,) = journal_segments(SegmentHead(event.digest, "g", WINDOW, 30, ()), joins)
    report = WorkerReport("00000000000000aa", WINDOW + 60, ended=True)
    sealer.accept(HandOver(event.digest, "g", WINDOW, (report,), (evidence.encode(segment),)), JOINED_AT, 0.0)
    sealer.close()
    seal = TokenSeal(secrets.audit_key, event.digest)
    genuine = [tickets[name].encode() for name in subjects]
    sealed = {hashlib.sha256(each).digest(): seal.seal(each, hashlib.sha256(each).digest()) for each in genuine}
    RetainedTokens(data / TOKENS, secrets.audit_key).add(pack(event.digest, sealed), event.digest)
    return Held(folder, event, secrets, tickets)


def over(event: Held) -> None:
    """Let all of the event pass."""
    clock = SimulatedClock.create(event.data / "clock", JOINED_AT, 0.0)
    clock.jump(event.event.late_until.timestamp() + 60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in; processes find this code from there as well."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def expo(folder: Path) -> Held:
    return held(folder)


def commands() -> list[list[str]]:
    """What docs/audit.md tells the organiser and the auditor to type, in its order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(block.replace("\\\n", " ")) for block in blocks]


def test_the_pages_commands_audit_a_roll_from_the_certificate_to_the_published_result(expo: Held) -> None:
    over(expo)
    expo.folder.joinpath("round.json").write_text(VALUE)
    expo.folder.joinpath("mine.json").write_text(VALUE)
    certify, draw, open_, publish, correct, check = commands()
    assert [words[:3] for words in (draw, open_, publish, correct, check)] == [
        ["turnout", "audit", name] for name in ("draw", "open", "publish", "roll", "check")
    ]
    expo.run(*certify[1:])
    said = json.loads(Path("certificate.json").read_text())
    assert said["roll"]["size"] == PEOPLE
    assert said["audits"] == []

    said = expo.run(*draw[1:])
    assert f"opens 20 of {PEOPLE} entries" in said
    assert "SIMULATED: NO OUTSIDE WITNESS cosigned the roll" in said
    assert "was published before" in expo.run(*draw[1:])
    assert "20 entries opened" in expo.run(*open_[1:])
    for secret in ("opening.json", "pseudonym.key"):
        assert Path(secret).stat().st_mode & 0o777 == 0o600

    # The auditor.
    Path("log").symlink_to(expo.data / "log")
    vkey = json.loads(Path("opening.json").read_text())["log"]["vkey"]
    Path("trust.txt").write_text(f"log {vkey}\n")
    said = expo.run(*check[1:], code=3)
    assert "all 20 are proven, in their places, and have genuine tickets" in said
    assert "20 of the roll's 60 entries were drawn by lot and opened, and none was bogus." in said
    assert "Ticket Shop" in said
    auditor = re.search(r"verifier key: (\S+)", said)
    assert auditor

    # The organiser.
    words = [auditor[1] if word == "VKEY" else word for word in publish[1:]]
    assert "the result is entry" in expo.run(*words)
    assert "as it was before" in expo.run(*words)
    expo.run(*certify[1:])
    (audit,) = json.loads(Path("certificate.json").read_text())["audits"]
    assert audit["beacon"] == {"name": "newspaper-lottery", "round": 7, "value": VALUE}
    (result,) = audit["results"]
    assert (result["auditor"], result["drawn"], result["bogus"]) == (auditor[1], 20, 0)
    assert result["order_witnessed"] is False
    verified = expo.run("verify", "certificate.json", "--log", "log", "--evidence", expo.data / "evidence", code=3)
    assert f"the {PEOPLE} attendees of entry" in verified

    # A corrected roll needs a round that is to come, and is the one that counts then.
    assert "say when its round happens" in expo.run(*correct[1:], code=2)
    past = [*correct[1:], "--round-at", "2023-11-22T00:00:00+08:00"]
    assert "name one that is to come" in expo.run(*past, code=2)
    assert "the corrected roll is entry" in expo.run(*correct[1:], "--round-at", "2023-11-25T00:00:00+08:00")
    expo.run(*certify[1:])
    again = json.loads(Path("certificate.json").read_text())
    assert again["roll"]["entry"] > audit["roll"]
    assert [each["entry"] for each in again["audits"]] == [audit["entry"]]


def drawn_and_opened(event: Held) -> None:
    over(event)
    event.run("certify", "event.toml", "-o", "certificate.json")
    event.run("audit", "draw", "event.toml", "--beacon-value", VALUE)
    event.run("audit", "open", "turnout-data", "--pseudonym-key", "pseudonym.key")


def checked(event: Held, *more: str, code: int) -> dict[str, Any]:
    log = str(event.data / "log")
    arguments = ["audit", "check", "opening.json", "--log", log, "--pseudonym-key", "pseudonym.key", "--json", *more]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return dict(json.loads(result.stdout))


def test_a_stuffed_roll_is_found_and_the_auditor_signs_what_was_found(folder: Path) -> None:
    event = held(folder, stuffed=60)
    over(event)
    event.run("certify", "event.toml", "-o", "certificate.json")
    event.run("audit", "draw", "event.toml", "--beacon-value", VALUE)
    said = event.run("audit", "open", "turnout-data", "--pseudonym-key", "pseudonym.key")
    without = re.search(r"(\d+) of them have no ticket here", said)
    assert without
    judged = checked(event, code=1)["judged"]
    assert judged["causes"] == {"no ticket": int(without[1])}
    assert 2 < judged["bogus"] < 18
    assert judged["bogus_at_most"] >= judged["bogus"]
    assert len(judged["bogus_leaves"]) == judged["bogus"]
    said = event.run("audit", "check", "opening.json", "--log", event.data / "log", "--pseudonym-key",
                     "pseudonym.key", "--sign", "a.key", "--name", "auditor.example", code=1)  # fmt: skip
    auditor = re.search(r"verifier key: (\S+)", said)
    assert auditor
    event.run("audit", "publish", "event.toml", "audit-result.note", "--auditor", auditor[1])
    event.run("certify", "event.toml", "-o", "certificate.json")
    ((result,),) = [each["results"] for each in json.loads(Path("certificate.json").read_text())["audits"]]
    assert result["bogus"] == judged["bogus"]


def test_tickets_that_were_deleted_make_their_entries_bogus(expo: Held) -> None:
    over(expo)
    expo.run("certify", "event.toml", "-o", "certificate.json")
    expo.run("audit", "draw", "event.toml", "--beacon-value", VALUE)
    RetainedTokens(expo.data / TOKENS, expo.secrets.audit_key).forget_all()
    expo.run("audit", "open", "turnout-data", "--pseudonym-key", "pseudonym.key")
    assert checked(expo, code=1)["judged"]["causes"] == {"no ticket": 20}


def test_a_roll_that_a_backup_does_not_have_is_made_again_to_be_opened(expo: Held) -> None:
    drawn_and_opened(expo)
    before = Path("opening.json").read_bytes()
    (roll,) = [path for path in (expo.data / "roll").iterdir() if path.name.isdecimal()]
    for path in roll.glob("*.bin"):
        path.unlink()
    expo.run("audit", "open", "turnout-data", "--pseudonym-key", "pseudonym.key")
    assert Path("opening.json").read_bytes() == before


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda said: said | {"draw": said["draw"] + 1}, "is no draw"),
        (lambda said: said | {"event_sha256": "ab" * 32}, "another event or draw"),
        (lambda said: said | {"hashes": "AAAA" + said["hashes"][4:]}, "root is in the log"),
        (lambda said: said | {"leaves": b64encode(b64decode(said["leaves"]) * 2).decode()}, "opened twice"),
        (lambda said: said | {"log": said["log"] | {"origin": "another"}}, "the key is named"),
        (lambda said: said | {"type": "roll"}, "that this software knows"),
    ],
)
def test_an_opening_that_is_not_of_the_draw_is_judged_to_be_nothing(
    expo: Held, tamper: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    drawn_and_opened(expo)
    said = json.loads(Path("opening.json").read_text())
    Path("opening.json").write_text(json.dumps(tamper(said)))
    report = checked(expo, code=1)
    assert report["judged"] is None
    assert words in report["checks"][-1]["detail"]


def test_the_auditor_is_told_what_does_not_hold_or_is_open(expo: Held) -> None:
    drawn_and_opened(expo)
    rows = {row["name"]: row["passed"] for row in checked(expo, code=3)["checks"]}
    assert rows == {
        "trusted key": None, "log": True, "roll before beacon": None, "beacon": None, "drawn leaves": True,
        "issuers": None,
    }  # fmt: skip
    assert {row["name"]: row["passed"] for row in checked(expo, "--beacon-value", VALUE, code=3)["checks"]}["beacon"]
    wrong = checked(expo, "--beacon-value", "5f" * 32, code=1)
    assert {row["name"]: row["passed"] for row in wrong["checks"]}["beacon"] is False
    # A failure that is none of the leaves' is nothing to sign.
    log, sign = expo.data / "log", ("--sign", "a.key", "--name", "auditor.example")
    arguments = ("audit", "check", "opening.json", "--log", log, "--pseudonym-key", "pseudonym.key")
    assert "signed:" not in expo.run(*arguments, "--beacon-value", "5f" * 32, *sign, code=1)
    assert "holds no log" in expo.run(*arguments[:4], expo.data, *arguments[5:], code=2)
    Path("pseudonym.key").write_text("00" * 32)
    assert "not the pseudonym key" in expo.run(*arguments, code=1)
    for no_key in (b"no key", b"00" * 31, b"\xff" * 32):
        Path("pseudonym.key").write_bytes(no_key)
        said = expo.run(*arguments, code=2)
        assert (
            "pseudonym.key (--pseudonym-key) is no pseudonym key: expected is one line of 64 hexadecimal digits" in said
        )
    Path("pseudonym.key").write_text("00" * 32)
    Path("policy").write_text("quorum")
    assert "policy (--policy) is no trust policy" in expo.run(*arguments, "--policy", "policy", code=2)


def test_nothing_is_drawn_without_a_roll_or_with_what_is_no_value(expo: Held) -> None:
    draw = ("audit", "draw", "event.toml", "--beacon-value")
    assert "there is no roll yet" in expo.run(*draw, VALUE, code=2)
    assert "nothing was drawn yet" in expo.run("audit", "open", "turnout-data", code=2)
    over(expo)
    expo.run("certify", "event.toml", "-o", "certificate.json")
    for value, words in (
        ("xyz", "hexadecimal"),
        ("00", "16 to 64 bytes"),
        (json.dumps({"round": 8, "randomness": VALUE}), "it is of round 8, and round 7 was named"),
        (json.dumps({"round": 7, "randomness": VALUE, "signature": "00"}), "not known here"),
        ("{", "not JSON"),
    ):
        assert words in expo.run(*draw, value, code=2), value
    assert "give the beacon's value" in expo.run(*draw[:3], code=2)
    Path("x.note").write_text("nothing")
    assert "no signed result" in expo.run("audit", "publish", "event.toml", "x.note", "--auditor", "v", code=2)


def test_a_roll_that_was_sealed_after_the_round_is_not_drawn_from(expo: Held) -> None:
    clock = SimulatedClock.create(expo.data / "clock", JOINED_AT, 0.0)
    clock.jump(expo.event.late_until.timestamp() + 2 * 24 * 3600)
    expo.run("certify", "event.toml", "-o", "certificate.json")
    said = expo.run("audit", "draw", "event.toml", "--beacon-value", VALUE, code=2)
    assert "and its beacon round happened at 2023-11-24T00:00:00+08:00" in said


# The running ledger.


def test_a_running_ledger_seals_the_roll_by_itself_and_publishes_draws_and_results(expo: Held) -> None:
    event = expo
    with ledger(event.folder / "event.toml", event.data) as running:
        running.jump(event.event.late_until.timestamp() + 60)
        until(lambda: any(leaf["type"] == "roll" for leaf in entries(running)), "the roll is sealed")
        event.run("audit", "draw", "event.toml", "--beacon-value", VALUE)
        assert "hexadecimal" in event.run("audit", "draw", "event.toml", "--beacon-value", "xyz", code=2)
        event.run("audit", "open", "turnout-data", "--pseudonym-key", "pseudonym.key")
        judged = checked(event, "--sign", "a.key", "--name", "auditor.example", code=3)["judged"]
        assert (judged["drawn"], judged["bogus"]) == (20, 0)
        vkey = load_or_create_signer(Path("a.key"), "").verifier.encode()
        publish = ("audit", "publish", "event.toml", "audit-result.note", "--auditor")
        event.run(*publish, vkey)
        assert "refused" in event.run(*publish, "auditor.example+00000000+AAAA", code=2)
        corrected = event.run("audit", "roll", "event.toml", "--round", "8", "--round-at", "2023-11-25T00:00:00+08:00")
        assert "the corrected roll is entry" in corrected
        event.run("certify", "event.toml", "-o", "certificate.json")
        kinds = [leaf["type"] for leaf in entries(running) if leaf["type"] not in ("window", "late")]
        assert kinds == ["event", "roll", "audit-draw", "audit-result", "roll", "certificate"]
        base = f"/v1/events/{event.event.id}"
        for path in (f"{base}/roll", f"{base}/audits", f"{base}/audits/1/results"):
            assert running.ask("POST", path, b"{}").reason == "key_missing"
            key = {"Authorization": f"Bearer {event.secrets.organiser_key}"}
            assert running.ask("POST", path, b"{}", key).reason == "body_malformed"
            assert running.ask("POST", path, b"[]", key).reason == "body_malformed"


def entries(running: RunningLedger) -> list[dict[str, Any]]:
    return [json.loads(leaf) if isinstance(leaf, bytes) else leaf for leaf in running.leaves()]
