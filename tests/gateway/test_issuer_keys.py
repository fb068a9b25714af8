"""Keys of issuers through a real ledger and a real worker: who has which key gets in, and who does not any more."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from joserfc import jwt
from joserfc.jwk import ECKey

from counters import canonical_json
from counters.announcements import Announcements
from counters.event import Event
from counters.issuer_keys import thumbprint
from counters.keys_in_force import IssuerKeys, KeyChange, adding, retiring
from counters.log_entries import read_log
from counters.steering import Steering
from gateway.identity import NAMELESS_KEYS_LIMIT, IdentityVerifier, TicketRefused
from gateway.ledger_client import GatewayName, InForce, LedgerClient, LedgerUnavailableError
from gateway.reasons import Reason
from gateway.steering import STEERING_FILE, SteeringKeeper, Told
from gateway.ticket_audit import identify_for
from tests.gateway.serving import NOW, Answer, RunningLedger, Serving, ledger, serving

KEYS = "/v1/events/expo/issuer-keys"
NEW = ECKey.generate_key("P-256", parameters={"kid": "new"})
PUBLIC = NEW.as_dict(private=False)
OTHER = ECKey.generate_key("P-256").as_dict(private=False)
WHY = "the shop changes its key every week"
Mint = Callable[..., str]


def ticket(event: Event, key: ECKey = NEW, *, at: float = NOW, kid: bool = True) -> str:
    """A ticket of the event's issuer, signed with another key than those of entry 0."""
    (issuer,) = event.issuers
    head = {"alg": "ES256"} | ({"kid": key.kid} if kid else {})
    claims = {"iss": issuer.issuer, "aud": issuer.audience, "sub": "bert", "iat": int(at), "exp": int(at) + 4 * 3600}
    return jwt.encode(head, claims, key, algorithms=["ES256"])


@pytest.fixture(scope="module")
def running(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("keys")) as service:
        service.jump(NOW)
        yield service


def change(running: RunningLedger, **asked: Any) -> Answer:
    return running.organise("POST", KEYS, json.dumps({"issuer": "tickets", "reason": WHY} | asked).encode())


@pytest.fixture(scope="module")
def rotated(running: RunningLedger, simulated: Event) -> RunningLedger:
    """The ledger, whose organiser has added a key at NOW and retired that of entry 0."""
    answer = change(running, add=PUBLIC | {"x5c": ["…"]})
    added = {"issuer": "tickets", "action": "add", "thumbprint": thumbprint(PUBLIC), "at": simulated.iso(NOW)}
    assert answer.json["changed"] == added
    assert change(running, retire=thumbprint(first_key(simulated))).json["changed"]["action"] == "retire"
    return running


def key_leaves(running: RunningLedger) -> list[dict[str, Any]]:
    return [leaf for leaf in running.leaves() if leaf["type"] == "issuer-key"]


def first_key(event: Event) -> Any:
    return event.issuers[0].keys[0]


def changes_of(event: Event) -> tuple[KeyChange, KeyChange]:
    """What `rotated` does."""
    return adding(event, "tickets", PUBLIC, WHY, NOW), retiring("tickets", thumbprint(first_key(event)), WHY, NOW)


# The ledger.


def test_what_is_no_key_of_the_issuer_changes_nothing_and_is_not_repeated(running: RunningLedger) -> None:
    before = key_leaves(running)
    for asked, reason in (
        ({"add": NEW.as_dict(private=True)}, "issuer_key_refused"),
        ({"add": PUBLIC, "issuer": "nobody"}, "issuer_key_refused"),
        ({"add": OTHER, "reason": ""}, "issuer_key_refused"),
        ({"retire": "A" * 43}, "issuer_key_refused"),
        ({"add": PUBLIC, "retire": "A" * 43}, "body_malformed"),
        ({"retire": 7}, "body_malformed"),
        ({"reason": 7, "add": PUBLIC}, "body_malformed"),
        ({"more": 1, "add": PUBLIC}, "body_malformed"),
        ({}, "body_malformed"),
    ):
        answer = change(running, **asked)
        assert answer.reason == reason, asked
        assert str(NEW.as_dict(private=True)["d"]) not in answer.body.decode()
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert running.ask("GET", KEYS, b"", headers).status in {401, 403}
        assert running.ask("POST", KEYS, b"{}", headers).status in {401, 403}
    assert running.organise("GET", KEYS.replace("expo", "other")).reason == "event_unknown"
    assert key_leaves(running) == before


def test_keys_are_added_and_retired_in_the_log_and_gateways_are_told(rotated: RunningLedger, simulated: Event) -> None:
    old = thumbprint(first_key(simulated))

    async def told(known: IssuerKeys) -> InForce:
        async with LedgerClient(rotated.url, rotated.secrets) as client:
            return await client.steering(GatewayName("g", "1" * 16, simulated.digest), 0, known.digest)

    for again in ({"add": PUBLIC}, {"retire": old}):
        assert change(rotated, **again).json["changed"]["at"] is None, "it was so already"
    (issuer,) = rotated.organise("GET", KEYS).json["issuers"]
    keys = [(key["thumbprint"], bool(key["added_at"]), bool(key["retired_at"])) for key in issuer["keys"]]
    assert keys == [(old, False, True), (thumbprint(PUBLIC), True, False)]
    assert [(leaf["action"], leaf["jwk"]) for leaf in key_leaves(rotated)] == [("add", PUBLIC), ("retire", None)]

    now = IssuerKeys.of(simulated, changes_of(simulated))
    assert uvloop.run(told(IssuerKeys.of(simulated))) == InForce(None, now.changes)
    assert uvloop.run(told(now)) == InForce(), "nothing is sent that is known"
    other = IssuerKeys.of(simulated, changes_of(simulated)[1:])
    assert uvloop.run(told(other)).key_changes == now.changes, "another log's changes are replaced"


# A gateway's parent.


class LedgerAtHand:
    """What a ledger would say."""

    def __init__(self) -> None:
        self.says: InForce | Exception = InForce()
        self.asked_with: list[str] = []

    async def steering(self, name: GatewayName, known: int, known_keys: str) -> InForce:
        assert (name.gateway, known) == ("g", 0)
        self.asked_with.append(known_keys)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Clock:
    def now(self) -> float:
        return NOW


def test_a_gateway_remembers_keys_through_restarts_and_outages_and_believes_its_ledger(
    tmp_path: Path, event: Event
) -> None:
    at_hand = LedgerAtHand()

    def begun() -> SteeringKeeper:
        return SteeringKeeper(tmp_path, event, "g", Clock(), at_hand, lambda _: None)  # type: ignore[arg-type]

    changes = changes_of(event)
    at_hand.says = InForce(None, changes)
    uvloop.run(begun().ask())
    at_hand.says = LedgerUnavailableError("away")
    keeper = begun()
    with pytest.raises(LedgerUnavailableError):
        uvloop.run(keeper.ask())
    assert keeper.told.keys == IssuerKeys.of(event, changes)
    assert at_hand.asked_with == [IssuerKeys.of(event).digest, IssuerKeys.of(event, changes).digest]
    at_hand.says = InForce(None, (replace(changes[0], issuer="nobody"),))
    with pytest.raises(LedgerUnavailableError, match="makes no sense"):
        uvloop.run(keeper.ask())
    assert keeper.told.keys.changes == changes, "what makes no sense changes nothing"
    at_hand.says = InForce(Steering(1, 45, frozenset({7})), ())
    keeper = begun()
    uvloop.run(keeper.ask())
    assert begun().told == Told(keeper.told.steering, keeper.told.announcements, IssuerKeys.of(event)), "a restored log"


# A worker.


def put(served: Serving, *changes: KeyChange) -> None:
    event = served.event
    told = Told(Steering.of(event), Announcements.of(30), IssuerKeys.of(event, changes))
    path = Path(served.worker.config.spool) / STEERING_FILE
    path.with_suffix(".new").write_bytes(told.encode())
    path.with_suffix(".new").rename(path)
    served.call(served.worker._follower.look)


def test_tickets_get_in_while_their_key_is_in_force_and_who_is_inside_stays(
    event_file: Path, tmp_path: Path, mint: Mint
) -> None:
    with serving(event_file, tmp_path) as served:
        event, old = served.event, mint("anna", now=NOW)
        added, gone = changes_of(event)
        assert served.join(old).status == 201
        assert served.join(ticket(event)).reason == "ticket_unknown_key"
        put(served, added)
        inside = served.join(ticket(event))
        assert (served.join(old).status, inside.status) == (201, 201)
        put(served, added, gone)
        answer = served.join(old)
        assert (answer.status, answer.reason) == (401, "ticket_key_retired")
        assert "Ask the ticket's issuer for a new one" in answer.json["detail"]
        assert served.counts()["refused.join.ticket_key_retired"] == 1
        assert served.join(ticket(event)).status == 201
        token = inside.json["token"]
        assert served.join(token, "forum").status == 201, "a viewing token is not a ticket"
        joins = [record for record in served.journal() if getattr(record, "issuer", "")]
        assert {join.key_thumbprint for join in joins} == {gone.thumbprint, added.thumbprint}  # type: ignore[union-attr]
    with serving(event_file, tmp_path) as another:
        assert another.join(old).reason == "ticket_key_retired", "a worker that starts later knows it at once"


def test_a_ticket_that_names_no_key_is_tried_with_those_in_force(event: Event) -> None:
    others = [ECKey.generate_key("P-256", parameters={"kid": f"k{n}"}) for n in range(NAMELESS_KEYS_LIMIT)]
    changes = [adding(event, "tickets", key.as_dict(private=False), WHY, NOW) for key in (NEW, *others)]
    nameless = ticket(event, kid=False)

    def verified(*made: KeyChange) -> Reason | str:
        try:
            return IdentityVerifier(event, lambda: NOW, IssuerKeys.of(event, made)).verify(nameless).key_thumbprint
        except TicketRefused as refused:
            return refused.reason

    assert verified() is Reason.TICKET_FORGED
    assert verified(changes[0]) == thumbprint(PUBLIC), "an issuer that changes its key breaks no ticket"
    assert verified(changes[0], retiring("tickets", thumbprint(PUBLIC), WHY, NOW)) is Reason.TICKET_KEY_RETIRED
    assert verified(*changes) is Reason.TICKET_UNKNOWN_KEY, "a forged ticket must not cost more and more"


# The audit of the roll.


def test_an_auditor_takes_no_ticket_of_a_key_that_was_not_in_force_at_its_join(
    rotated: RunningLedger, simulated: Event, mint: Mint
) -> None:
    identify = identify_for(read_log([canonical_json.encode(leaf) for leaf in rotated.leaves()]))
    old, new = mint("anna", now=NOW - 7200).encode(), ticket(simulated, at=NOW - 7200).encode()

    def taken(compact: bytes, at: float) -> bool:
        said = identify(compact, at)
        assert not isinstance(said, str) or "the key that signed it was not in force" in said, said
        return not isinstance(said, str)

    assert [taken(old, NOW + after) for after in (-3600, 0, 60, 61)] == [True, True, True, False]
    assert [taken(new, NOW + after) for after in (-3660, -61, -60, 0)] == [False, False, True, True]


def test_whoever_holds_a_retired_key_reads_nobodys_receipt(
    rotated: RunningLedger, simulated: Event, mint: Mint
) -> None:
    """No roll is sealed yet: so much, and no more, is told to a good ticket."""

    def told(shown: str) -> str:
        return rotated.ask("GET", "/v1/events/expo/receipt", headers={"Authorization": f"Bearer {shown}"}).reason

    assert told(mint("anna", now=NOW)) == "ticket_key_retired"
    assert told(ticket(simulated)) == "roll_not_sealed"
