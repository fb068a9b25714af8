"""`turnout certify`: have the running ledger issue a certificate, or do it from its data directory."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters import issuing, roll_sealing
from counters.corrections import CorrectionError, read_reason
from counters.durable_file import make_folder, write_durably
from counters.event import Event
from counters.ledger.log import LogError
from counters.ledger.writer_folder import LogLockedError, log_begun, require_rest
from counters.reckoning import Progress
from counters.sealing import OtherEventError
from gateway.at_rest import AtRest, SetBackError, running_or_at_rest
from gateway.mendable import RunningLedgerError
from gateway.reasons import Reason
from gateway.running_ledger import (
    LONG_PATIENCE_S,
    LedgerRefusesError,
    RunningLedger,
    SilentLedgerError,
    UnnamedLedgerError,
)

ASK_EVERY_S: Final = 0.5
"""How often a running ledger is asked how far it is."""
_CERTIFICATES: Final = "/certificates"
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
    log = wanted.data / "log"
    try:
        return _asked_of(RunningLedger.of(wanted.event, wanted.data), wanted)
    except UnnamedLedgerError:
        _stop_if_free(log, "no ledger runs on this data directory any more: run this again")
        raise CertifyError(
            f"another process works on {wanted.data}, and it is no ledger that serves: another `turnout certify`, or a "
            "ledger that is starting. Run this again when it has ended, or serves"
        ) from None
    except SilentLedgerError as silent:
        _stop_if_free(log, f"no ledger runs on this data directory (the last one was at {silent.url}): run this again")
        raise CertifyError(f"the ledger runs but does not answer at {silent.url}: {silent.why}") from None
    except LedgerRefusesError as refused:
        raise CertifyError(_WHAT_TO_DO.get(refused.reason, str(refused))) from None
    except RunningLedgerError as error:
        raise CertifyError(str(error)) from None


def _stop_if_free(log: Path, why: str) -> None:
    """Raise `_StoppedError` if no process has the log open any more."""
    with contextlib.suppress(LogLockedError):
        require_rest(log)
        raise _StoppedError(why) from None


def _asked_of(ledger: RunningLedger, wanted: _Wanted) -> _Issued:
    correction = wanted.correction
    asked = {"corrects": correction.id, "reason": correction.reason} if correction else {}
    with _watched(ledger, wanted.progress):
        issued = ledger.ask(_CERTIFICATES, asked, LONG_PATIENCE_S)
    one = f"{_CERTIFICATES}/{issued['id']}"
    certificate, proof = (ledger.fetch(path, patience_s=LONG_PATIENCE_S) for path in (one, f"{one}.tlog-proof"))
    return _Issued(issued["id"], certificate, proof, issued["certificate_sha256"])


@contextlib.contextmanager
def _watched(ledger: RunningLedger, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` how far the ledger is with its certificate, until the block ends."""
    if progress is None:
        yield
        return
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(ledger, progress, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _watch(ledger: RunningLedger, progress: Progress, over: threading.Event) -> None:
    while not over.wait(ASK_EVERY_S):
        try:
            computing = ledger.ask(_CERTIFICATES, patience_s=LONG_PATIENCE_S)["computing"]
        except (RunningLedgerError, KeyError):
            continue  # whoever asked for the certificate hears what is wrong
        if computing and computing["of"]:
            progress(computing["leaves"], computing["of"])
