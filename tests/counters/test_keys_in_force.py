"""Issuers' keys that come and go: each change is in the log once, says only what is public, and is not backdated."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from counters import canonical_json, keys_in_force
from counters.certificate_statements import stated_by_log
from counters.issuer_keys import thumbprint
from counters.key_changes import change_key
from counters.keys_in_force import LEEWAY_S, IssuerKeys, KeyChange, KeyChangeError, adding, retiring
from counters.log_entries import LogEntryError, read_log
from tests.counters.ledger_at_hand import EVENT, LedgerAtHand, bundle, presence
from tests.counters.synthetic import KEY
from tests.counters.worker_at_hand import NINE

OLD = thumbprint(KEY)
PRIVATE = OKPKey.generate_key("Ed25519", parameters={"kid": "k2"})
NEW = PRIVATE.as_dict(private=False)
AT = NINE + 30


def added(jwk: object = NEW, issuer: str = "issuer-0", at: float = AT) -> KeyChange:
    return adding(EVENT, issuer, jwk, "every day a new one", at)


def retired(name: str = OLD, issuer: str = "issuer-0", at: float = AT) -> KeyChange:
    return retiring(issuer, name, "found on a laptop", at)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerAtHand]:
    ledger = LedgerAtHand(tmp_path / "data")
    ledger.now = AT
    yield ledger
    ledger.sealer.close()


# What is in force.


def test_keys_of_entry_0_are_in_force_until_they_are_retired_and_others_from_when_they_are_added() -> None:
    keys = IssuerKeys.of(EVENT, [added(), retired(at=AT + 600)])
    old, new = keys.by_issuer["issuer-0"]
    assert (old.thumbprint, old.added_at, old.retired_at) == (OLD, None, AT + 600)
    assert (new.kid, new.added_at, new.retired_at) == ("k2", AT, None)
    assert keys.by_issuer["issuer-1"] == IssuerKeys.of(EVENT).by_issuer["issuer-1"], "another issuer's keys are its own"
    assert [old.was_in_force(at) for at in (0, AT + 600 + LEEWAY_S, AT + 601 + LEEWAY_S)] == [True, True, False]
    assert [new.was_in_force(at) for at in (AT - LEEWAY_S - 1, AT - LEEWAY_S, AT + 9e9)] == [False, True, True]
    assert all(key.retired_at is None for key in keys.never_retired().by_issuer["issuer-0"])


def test_any_other_history_has_another_digest() -> None:
    histories = [[], [added()], [retired()], [added(), retired()], [retired(), added()], [added(at=AT + 1)]]
    digests = {IssuerKeys.of(EVENT, changes).digest for changes in histories}
    assert len(digests) == len(histories)
    assert IssuerKeys.of(replace(EVENT, name="Another")).digest not in digests
    assert IssuerKeys.of(EVENT, [added()]).digest == IssuerKeys.of(EVENT).after(added()).digest


@pytest.mark.parametrize(
    ("jwk", "wrong"),
    [
        (PRIVATE.as_dict(private=True), "it is a private key"),
        (OctKey.generate_key(256).as_dict(private=True), "symmetric"),
        (
            RSAKey.generate_key(2048).as_dict(private=False),
            "a key for RS256, which the issuer's algorithms",
        ),
        (ECKey.generate_key("P-384").as_dict(private=False), "is not used here"),
        ({**NEW, "x": "AAAA"}, "it is no key"),
        ({**NEW, "use": "enc"}, "its use is 'enc'"),
        (None, "not a JSON object"),
    ],
)
def test_what_the_event_file_refuses_as_a_key_is_refused_later_as_well(jwk: object, wrong: str) -> None:
    with pytest.raises(KeyChangeError, match=wrong):
        added(jwk)


def test_only_public_members_that_a_verifier_needs_are_kept() -> None:
    change = added({**NEW, "x5c": ["…"], "key_ops": ["verify"], "contact": "anna@example.org"})
    assert change.jwk == {name: NEW[name] for name in ("kty", "crv", "x", "kid")}


def refused(changes: list[KeyChange], match: str) -> None:
    with pytest.raises(KeyChangeError, match=match):
        IssuerKeys.of(EVENT, changes)


def test_neither_a_key_nor_its_name_stands_twice_and_a_retired_key_never_comes_back() -> None:
    other = OKPKey.generate_key("Ed25519", parameters={"kid": "k1"}).as_dict(private=False)
    refused([added(KEY)], "is in force already")
    refused([added(), added()], "is in force already")
    refused([retired(), added(KEY)], "was retired, and stays so")
    refused([added(other)], "another key of the kid 'k1'")
    refused([retired(), added(other)], "another key of the kid 'k1'")
    refused([retired(), retired()], "no key .* in force")
    refused([retired("A" * 43)], "no key .* in force")
    refused([retired(issuer="nobody")], "there is no issuer 'nobody'; there are: issuer-0, issuer-1")
    IssuerKeys.of(EVENT, [added(), added(issuer="issuer-1")])


def test_a_change_needs_its_reason_and_comes_after_those_before_it() -> None:
    for reason in ("", " ", "two\nlines", "x" * 501):
        refused([replace(added(), reason=reason)], "it needs its reason")
    refused([added(), retired(at=AT - 1)], "dated before the change before it")


def test_there_is_an_end_to_new_keys_and_none_to_retiring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_in_force, "CHANGES_LIMIT", 1)
    keys = IssuerKeys.of(EVENT, [retired()])
    with pytest.raises(KeyChangeError, match="room for no more keys"):
        keys.after(added())
    assert len(keys.after(retired(issuer="issuer-1")).changes) == 2


def test_a_row_that_a_gateway_keeps_is_read_back_and_no_other() -> None:
    for change in (added(), retired()):
        row = json.loads(json.dumps(change.as_row()))
        assert KeyChange.from_row(row) == change
        wrongs: list[Any] = [
            {**row, "at": 1.5},
            {**row, "issuer": 7},
            {**row, "jwk": "no"},
            {**row, "more": 1},
            None,
            [],
        ]
        for wrong in wrongs:
            with pytest.raises(KeyChangeError):
                KeyChange.from_row(wrong)


# In the log.


def test_a_change_is_a_leaf_that_anybody_can_read(ledger: LedgerAtHand) -> None:
    assert change_key(ledger.sealer, added(PRIVATE.as_dict(private=False) | {"x5c": ["…"]})) == added()
    leaf = json.loads(ledger.entries()[1])
    assert leaf == {
        "type": "issuer-key", "version": 1, "event_sha256": EVENT.digest, "number": 1, "issuer": "issuer-0",
        "action": "add", "jwk": NEW, "thumbprint": thumbprint(NEW), "reason": "every day a new one",
        "at": EVENT.iso(AT), "simulated": True, "software": leaf["software"],
    }  # fmt: skip
    change_key(ledger.sealer, retired())
    assert json.loads(ledger.entries()[2]).items() >= {"number": 2, "action": "retire", "jwk": None}.items()
    assert (
        ledger.checked().issuer_keys == ledger.sealer.so_far.issuer_keys == IssuerKeys.of(EVENT, [added(), retired()])
    )


def test_asked_for_again_a_change_is_not_logged_again(ledger: LedgerAtHand) -> None:
    for change in (added(), retired()):
        assert change_key(ledger.sealer, change) == change
        assert change_key(ledger.sealer, replace(change, at=AT + 5)) is None
    assert len(ledger.entries()) == 3


def test_a_change_that_is_refused_leaves_the_log_as_it_was(ledger: LedgerAtHand) -> None:
    for change in (retired("A" * 43), replace(added(), reason="")):
        with pytest.raises(KeyChangeError):
            change_key(ledger.sealer, change)
    assert (len(ledger.entries()), ledger.sealer.so_far.issuer_keys.changes) == (1, ())


@pytest.mark.parametrize("begin_again", [LedgerAtHand.restart, LedgerAtHand.crash])
def test_what_came_and_went_survives_the_ledger(
    ledger: LedgerAtHand, begin_again: Callable[[LedgerAtHand], None]
) -> None:
    change_key(ledger.sealer, added())
    change_key(ledger.sealer, retired())
    begin_again(ledger)
    assert ledger.sealer.so_far.issuer_keys == IssuerKeys.of(EVENT, [added(), retired()])
    change_key(ledger.sealer, retired(thumbprint(NEW)))
    assert ledger.checked().key_changes[-1].index == 3


def test_a_clock_that_was_set_back_dates_no_key_before_what_the_log_has(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 61
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),)))
    assert ledger.settle() == 1
    change = change_key(ledger.sealer, added(at=NINE - 3600))
    assert change is not None
    assert change.at == NINE + 60
    later = change_key(ledger.sealer, retired(at=NINE))
    assert later is not None
    assert later.at == NINE + 60
    ledger.checked()


def changed(entry: bytes, **changes: Any) -> bytes:
    return canonical_json.encode(json.loads(entry) | changes)


def test_a_verifier_takes_no_key_that_was_backdated_or_changed(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 61
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),)))
    ledger.settle()
    change_key(ledger.sealer, added(at=NINE + 61))
    first, window, leaf = ledger.entries()
    read_log([first, window, leaf])
    wrong: dict[str, dict[str, Any]] = {
        "dated before the end of the window before it": {"at": EVENT.iso(NINE + 59)},
        "is change 2 of issuers' keys, after 0": {"number": 2},
        "not told if simulated": {"simulated": False},
        "it is a private key": {"jwk": PRIVATE.as_dict(private=True)},
        "other members than a public key": {"jwk": NEW | {"x5c": []}},
        "or another thumbprint": {"thumbprint": OLD[:-1] + "A"},
        "added or retired": {"action": "forget"},
        "only the thumbprint is named": {"action": "retire"},
        "there is no issuer": {"issuer": "nobody"},
        "it needs its reason": {"reason": ""},
    }
    for why, changes in wrong.items():
        with pytest.raises(LogEntryError, match=f"entry 2: .*{why}"):
            read_log([first, window, changed(leaf, **changes)])
    with pytest.raises(LogEntryError, match=r"entry 3: .*is in force already"):
        read_log([first, window, leaf, changed(leaf, number=2)])


# On the certificate.


def test_a_certificate_names_the_keys_that_came_and_went_and_says_what_that_means(ledger: LedgerAtHand) -> None:
    before = stated_by_log(ledger.checked(), 3)["identity"]
    assert not {"key_changes", "key_changes_statement"} & before.keys()
    change_key(ledger.sealer, added(at=NINE - 60))
    change_key(ledger.sealer, added(issuer="issuer-1", at=NINE))
    change_key(ledger.sealer, retired(at=AT))
    for version in (2, 3):
        identity = stated_by_log(ledger.checked(), version)["identity"]
        assert identity["key_changes"][2] == {
            "entry": 3, "at": EVENT.iso(AT), "issuer": "issuer-0", "action": "retire", "thumbprint": OLD,
            "reason": "found on a laptop",
        }  # fmt: skip
        said = identity["key_changes_statement"]
        assert "AN ORGANISER WHO ADDS KEYS CAN VOUCH FOR ANYBODY" in said
        assert "locked the others: 2, of them after the first session had begun: 1." in said
        assert "retired: 1." in said
