"""`turnout certify`: have the running ledger issue a certificate, or do it from its data directory."""

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import issuing, roll_sealing
from counters.corrections import CorrectionError, read_reason
from counters.durable_file import make_folder, write_durably
from counters.event import Event
from counters.ledger.log import LogError, LogLockedError, log_begun, require_rest
from counters.reckoning import Progress
from counters.sealing import OtherEventError
from counters.secrets import load_secrets
from gateway.at_rest import AtRest, SetBackError, running_or_at_rest
from gateway.no_answer import why_no_answer
from gateway.reasons import Reason
from gateway.steer import wrong_key

SECRETS_FILE: Final = "secrets.json"
TIMEOUT_S: Final = 1800
"""An event of 40 million attendees takes up to ten minutes to certify."""
ASK_EVERY_S: Final = 0.5
"""How often a running ledger is asked how far it is."""
_WHAT_TO_DO: Final = {
    Reason.QUORUM_LOST.label: "too few of the event's witnesses have cosigned what the log says now, and nothing is "
    "certified that is not published. The ledger's /readyz says which it waits for: have them started or reached, and "
    "run this again. Nothing is lost meanwhile",
    Reason.WITNESSES_SILENT.label: "the event's witnesses have not answered yet: have them started or reached, and run "
    "this again",
}
"""By the reason with which the ledger refuses."""


class CertifyError(Exception):
    """No certificate was issued, and what to do about it."""


class _StoppedError(CertifyError):
    """No ledger runs."""


@dataclass(frozen=True, slots=True)
class CorrectionAsked:
    """Which certificate a new one is to supersede, and why."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What was issued and where it lies."""

    id: int
    sha256: str
    proof_path: Path
    notice: str  # what must be said with it; "" if nothing


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, and of which ledger."""

    event: Event
    data: Path
    correction: CorrectionAsked | None
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class _Issued:
    """What came of it."""

    id: int
    certificate: bytes
    proof: bytes
    sha256: str


def certify_event(
    event: Event, data: Path, output: Path, correction: CorrectionAsked | None = None, progress: Progress | None = None
) -> CertificateFiles:
    """Issue a certificate; write it to `output` and its proof beside it.

    Args:
        event: of the event file.
        data: the ledger's data directory.
        output: where the certificate goes.
        correction: what it supersedes.
        progress: is told how many leaves have been read, of how many; from another thread if a ledger runs.

    Raises:
        CertifyError: there is no ledger and no data, or it belongs to another event; or it refuses.
        SecretsError: the data directory's secrets cannot be read.
    """
    if not log_begun(data / "log"):
        raise CertifyError(f"{data} holds no log: name the ledger's data directory with --data")
    wanted = _Wanted(event, data, correction, progress)
    try:
        if correction:
            read_reason(correction.reason)
        ask = _cosigned if event.required_witnesses else _from_running_ledger
        issued = running_or_at_rest(event, data, lambda: ask(wanted), lambda ledger: _at_rest(wanted, ledger))
    except (OtherEventError, LogError, SetBackError, CorrectionError) as error:
        raise CertifyError(str(error)) from None
    proof_path = output.with_suffix(".tlog-proof")
    make_folder(output.parent)
    write_durably(proof_path, issued.proof)
    write_durably(output, issued.certificate)
    notice = json.loads(issued.certificate)["notice"] or ""
    return CertificateFiles(issued.id, issued.sha256, proof_path, notice)


def _at_rest(wanted: _Wanted, ledger: AtRest) -> _Issued:
    sealer, directory = ledger.sealer, wanted.data / "certificates"
    if roll_sealing.is_due(sealer, ledger.now):
        # Before the certificate, which names it.
        roll_sealing.seal(sealer, wanted.data / roll_sealing.FOLDER, ledger.now)
    corrects, reason = (wanted.correction.id, wanted.correction.reason) if wanted.correction else (None, "")
    verifier = ledger.signer.verifier
    certificate = issuing.compute(sealer, verifier, ledger.now, wanted.progress, corrects=corrects, reason=reason)
    issued = issuing.issued(sealer, issuing.enter(sealer, certificate, directory), directory)
    return _Issued(issued.id, issued.certificate, issued.proof, issued.sha256)


def _cosigned(wanted: _Wanted) -> _Issued:
    """Have the ledger issue a certificate: it is who asks the witnesses."""
    try:
        return _from_running_ledger(wanted)
    except _StoppedError:
        raise CertifyError(
            f"the log of this event is published only with the cosignatures of {wanted.event.required_witnesses} "
            "witnesses, which a running ledger asks for, and none runs here: start it (turnout up, turnout ledger) and "
            "run this again"
        ) from None


def _from_running_ledger(wanted: _Wanted) -> _Issued:
    key = load_secrets(wanted.data / SECRETS_FILE).organiser_key
    try:
        running = json.loads((wanted.data / "ledger.json").read_text())
    except FileNotFoundError:
        with contextlib.suppress(LogLockedError):
            require_rest(wanted.data / "log")
            raise _StoppedError("no ledger runs on this data directory any more: run this again") from None
        raise CertifyError(
            f"another process works on {wanted.data}, and it is no ledger that serves: another `turnout certify`, or a "
            "ledger that is starting. Run this again when it has ended, or serves"
        ) from None
    if running["event_sha256"] != wanted.event.digest:
        raise CertifyError("the running ledger has another event file: certify with the one that it was started with")
    url = f"{running['ledger']}/v1/events/{wanted.event.id}/certificates"
    ledger, correction = _RunningLedger(url, key, wanted.data / "log"), wanted.correction
    asked = {"corrects": correction.id, "reason": correction.reason} if correction else {}
    with ledger.watched(wanted.progress):
        issued: Any = json.loads(ledger.ask("", asked))
    certificate, proof = ledger.ask(f"/{issued['id']}"), ledger.ask(f"/{issued['id']}.tlog-proof")
    return _Issued(issued["id"], certificate, proof, issued["certificate_sha256"])


@dataclass(frozen=True, slots=True)
class _RunningLedger:
    """A ledger that is asked over HTTP."""

    url: str  # of its certificates
    key: str  # the organiser's
    log: Path

    def ask(self, path: str, posted: object = None) -> bytes:
        """Return what it answers to a GET, or to a POST of something.

        Raises:
            CertifyError: it refuses, or does not answer.
        """
        body = None if posted is None else json.dumps(posted).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310 - http, from the ledger's own file
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise CertifyError(_refusal(error.code, error.read(), self.log.parent / SECRETS_FILE)) from None
        except OSError as error:
            with contextlib.suppress(LogLockedError):
                require_rest(self.log)
                raise _StoppedError(
                    f"no ledger runs on this data directory (the last one was at {self.url}): run this again"
                ) from None
            raise CertifyError(f"the ledger runs but does not answer at {self.url}: {why_no_answer(error)}") from None

    @contextlib.contextmanager
    def watched(self, progress: Progress | None) -> Iterator[None]:
        """Tell `progress` how far the ledger is with its certificate, until the block ends."""
        if progress is None:
            yield
            return
        over = threading.Event()
        watching = threading.Thread(target=self._watch, args=(progress, over), daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()

    def _watch(self, progress: Progress, over: threading.Event) -> None:
        while not over.wait(ASK_EVERY_S):
            try:
                computing = json.loads(self.ask(""))["computing"]
            except (CertifyError, ValueError, KeyError):
                continue  # whoever asked for the certificate hears what is wrong
            if computing and computing["of"]:
                progress(computing["leaves"], computing["of"])


def _refusal(status: int, body: bytes, secrets_file: Path) -> str:
    """What a refusal of the ledger means, in words; `secrets_file` has the key that it was asked with."""
    try:
        problem = json.loads(body)
        reason, detail = str(problem["reason"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the ledger refused ({status}): {body.decode(errors='replace')[:500]}"
    if reason == Reason.KEY_WRONG.label:
        return f"the ledger refused: {wrong_key(secrets_file)}"
    return _WHAT_TO_DO.get(reason, f"the ledger refused: {detail}")
