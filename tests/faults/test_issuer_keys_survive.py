"""Issuers' keys with real processes: one that was retired stays so while ledger and gateway are killed and return."""

import json
import signal
from pathlib import Path

from joserfc.jwk import ECKey

from counters.event import Event
from counters.issuer_keys import thumbprint
from counters.ledger.note import Verifier
from counters.ledger.reader import LogReader
from counters.log_entries import read_log
from gateway.development_issuer import FOLDER, DevelopmentIssuer
from tests.faults.test_steering_survives import Gateway, event_file, gateway
from tests.gateway.commands import turnout
from tests.gateway.serving import NO_LEDGER, NOW, Answer, RunningLedger, ask, ledger, until
from tests.gateway.test_issuer_keys import ticket

__all__ = ["event_file"]

NEW = ECKey.generate_key("P-256", parameters={"kid": "new"})


def joined(at: Gateway, shown: str) -> str:
    """Join with a ticket; return the reason of the refusal, "" if there is none."""
    path = "/v1/events/expo/sessions/opening/join"
    answer: Answer = ask(at.port, "POST", path, headers={"Authorization": f"Bearer {shown}"})
    return "" if answer.status == 201 else answer.reason


def old_ticket(folder: Path, event: Event) -> str:
    return DevelopmentIssuer.load(folder / FOLDER, "tickets").mint(event.issuers[0], "anna", now=NOW)


def keys_in_log(running: RunningLedger) -> list[tuple[str, bool]]:
    """The thumbprints in the log as an outsider reads it, and which of them are retired."""
    verifier = Verifier.decode(json.loads((running.data / "ledger.json").read_text())["log"])
    reader = LogReader(running.data / "log", verifier)
    reader.full_check()
    keys = read_log(list(reader.entries())).issuer_keys.by_issuer["tickets"]
    return [(key.thumbprint, key.retired_at is not None) for key in keys]


def test_keys_that_came_and_went_survive_kill_9_of_ledger_and_gateway(event_file: Path, tmp_path: Path) -> None:
    data, jwk = tmp_path / "turnout-data", tmp_path / "new.jwk.json"
    jwk.write_text(json.dumps(NEW.as_dict(private=False)))
    with ledger(event_file, data) as first:
        first.jump(NOW)
        with gateway(event_file, data, first.url) as served:
            old, new = old_ticket(tmp_path, served.event), ticket(served.event, NEW)
            retired = thumbprint(served.event.issuers[0].keys[0])
            assert (joined(served, old), joined(served, new)) == ("", "ticket_unknown_key")
            added = turnout("issuer-key", event_file, "--add", jwk, "--reason", "it leaked", cwd=tmp_path)
            assert added.returncode == 0, added.stderr
            until(lambda: joined(served, new) == "", "the worker takes the new key")
            gone = turnout("issuer-key", event_file, "--retire", retired, "--reason", "it leaked",
                           "--ledger", f"http://127.0.0.1:{served.port}", cwd=tmp_path)  # fmt: skip
            assert gone.returncode == 0, gone.stderr
            until(lambda: joined(served, old) == "ticket_key_retired", "the worker refuses the old key")
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            assert (joined(served, old), joined(served, new)) == ("ticket_key_retired", ""), "a gateway goes on alone"
            served.process.kill()
        with gateway(event_file, data, NO_LEDGER) as orphan:
            # What it was told is in its spool; and a good ticket gets as far as to a seat, of which there are none.
            told = joined(orphan, old), joined(orphan, new)
            assert told == ("ticket_key_retired", "seats_exhausted")

    with ledger(event_file, data) as second, gateway(event_file, data, second.url) as later:
        assert keys_in_log(second) == [(retired, True), (thumbprint(NEW.as_dict(private=False)), False)]
        until(lambda: joined(later, old) == "ticket_key_retired", "the worker refuses the retired key")
        assert joined(later, new) == ""
        again = turnout("issuer-key", event_file, "--retire", retired, "--reason", "it leaked", cwd=tmp_path)
        assert again.stdout.startswith("nothing to change: ")
        last = turnout("issuer-key", event_file, "--retire", thumbprint(NEW.as_dict(private=False)),
                       "--reason", "this one as well", cwd=tmp_path)  # fmt: skip
        assert "NO KEY IS IN FORCE: nobody can join with its tickets" in last.stdout, last.stderr
        until(lambda: joined(later, new) == "ticket_key_retired", "nobody gets in with a ticket")
        certified = turnout("certify", event_file, "--data", data, "-o", tmp_path / "certificate.json", cwd=tmp_path)
        assert certified.returncode == 0, certified.stderr
    verified = turnout("verify", "certificate.json", "--evidence", data / "evidence", "--policy", data / "trust-policy",
                       cwd=tmp_path)  # fmt: skip
    assert verified.returncode == 0, verified.stdout
    assert "locked the others: 1, of them after the first session had begun: 1." in verified.stdout
    identity = json.loads((tmp_path / "certificate.json").read_text())["identity"]
    assert [row["action"] for row in identity["key_changes"]] == ["add", "retire", "retire"]


def test_what_is_no_public_key_never_leaves_the_machine(event_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    no_ledger = ("--ledger", NO_LEDGER, "--reason", "why")
    for content, options, said in (
        (json.dumps(NEW.as_dict(private=True)), ("--add", file, *no_ledger), "it is a private key"),
        (json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}), ("--add", file, *no_ledger), "it is a symmetric key"),
        ("no JSON", ("--add", file, *no_ledger), "it is no JSON"),
        ('{"keys": [{"use": "enc"}]}', ("--add", file, *no_ledger), "there is no key for signatures"),
        ("", ("--add", file, "--ledger", NO_LEDGER), "say why with --reason"),
        ("", ("--show", "--retire", "A" * 43), "say one of --add FILE, --retire THUMBPRINT and --show"),
        ("", ("--issuer", "nobody", "--retire", "A" * 43, *no_ledger), "the event's issuers are: tickets"),
    ):
        file.write_text(content)
        done = turnout("issuer-key", event_file, *options, cwd=tmp_path)
        assert done.returncode == 2, done
        assert said in done.stderr
        assert "Traceback" not in done.stderr
