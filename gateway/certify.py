"""`turnout certify`: have the running ledger issue a certificate, or do it from its data directory."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import issuing, roll_sealing
from counters.durable_file import make_folder, write_durably
from counters.event import Event
from counters.expected_reports import GRACE_S
from counters.ledger.log import LogError, LogLockedError, log_begun
from counters.log_key import load_signer
from counters.sealing import OtherEventError, Sealer
from counters.secrets import load_secrets
from counters.setback import Setback
from gateway.ledger_service import open_event_clock

TIMEOUT_S: Final = 1800
"""An event of 40 million attendees takes up to ten minutes to certify."""


class CertifyError(Exception):
    """No certificate was issued, and what to do about it."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What was issued and where it lies."""

    id: int
    sha256: str
    proof_path: Path


def certify_event(event: Event, data: Path, output: Path) -> CertificateFiles:
    """Issue a certificate; write it to `output` and its proof beside it.

    Raises:
        CertifyError: there is no ledger and no data, or it belongs to another event.
        SecretsError: the data directory's secrets cannot be read.
    """
    if not log_begun(data / "log"):
        raise CertifyError(f"{data} holds no log: name the ledger's data directory with --data")
    try:
        if event.required_witnesses:
            certificate, proof, number, digest = _cosigned(event, data)
        else:
            certificate, proof, number, digest = _from_directory(event, data)
    except LogLockedError:
        certificate, proof, number, digest = _from_running_ledger(event, data)
    except (OtherEventError, LogError) as error:
        raise CertifyError(str(error)) from None
    proof_path = output.with_suffix(".tlog-proof")
    make_folder(output.parent)
    write_durably(proof_path, proof)
    write_durably(output, certificate)
    return CertificateFiles(number, digest, proof_path)


def _from_directory(event: Event, data: Path) -> tuple[bytes, bytes, int, str]:
    secrets = load_secrets(data / "secrets.json")
    signer = load_signer(data)
    now, directory = open_event_clock(event, data).now(), data / "certificates"
    sealer = Sealer(data, event, secrets.pseudonym_commitment, signer, now)
    try:
        if why := Setback(data, sealer).why():
            raise CertifyError(why)
        # Nobody can report any more: what waits is sealed, with the missing named.
        tick = time.monotonic()
        while sealer.seal(now, tick) or sealer.unsealed(now):
            tick += GRACE_S
        rolls = data / roll_sealing.FOLDER
        if roll_sealing.is_due(sealer, now):
            # Before the certificate, which names it.
            entries = list(sealer.log.entries())
            tree = roll_sealing.make(entries, sealer.evidence.get, rolls / roll_sealing.MAKING)
            roll_sealing.enter(sealer, tree, rolls, len(entries), now)
        certificate = issuing.compute(sealer, signer.verifier, now)
        issued = issuing.issued(sealer, issuing.enter(sealer, certificate, directory), directory)
    finally:
        sealer.close()
    return issued.certificate, issued.proof, issued.id, issued.sha256


def _cosigned(event: Event, data: Path) -> tuple[bytes, bytes, int, str]:
    """Have the ledger issue a certificate: it is who asks the witnesses."""
    try:
        return _from_running_ledger(event, data)
    except (CertifyError, FileNotFoundError) as error:
        raise CertifyError(
            f"the log of this event is published only with the cosignatures of {event.required_witnesses} witnesses, "
            f"which a running ledger asks for (turnout ledger, turnout up): {error}"
        ) from None


def _from_running_ledger(event: Event, data: Path) -> tuple[bytes, bytes, int, str]:
    key = load_secrets(data / "secrets.json").organiser_key
    running = json.loads((data / "ledger.json").read_text())
    if running["event_sha256"] != event.digest:
        raise CertifyError("the running ledger has another event file: certify with the one that it was started with")
    base = f"{running['ledger']}/v1/events/{event.id}/certificates"
    issued: Any = json.loads(_ask(base, key, method="POST"))
    certificate = _ask(f"{base}/{issued['id']}", key)
    proof = _ask(f"{base}/{issued['id']}.tlog-proof", key)
    return certificate, proof, issued["id"], issued["certificate_sha256"]


def _ask(url: str, key: str, method: str = "GET") -> bytes:
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - http, from the ledger's own file
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise CertifyError(f"the ledger answered {error.code}: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise CertifyError(f"the ledger runs but does not answer at {url}: {error}") from None
