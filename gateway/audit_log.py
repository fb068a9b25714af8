"""The organiser's side of an audit: asked of the running ledger, or done in its data directory if none runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from counters import roll_sealing
from counters.audit_entries import AuditEntryError, AuditTrail, DrawEntry
from counters.audit_publishing import AuditRefusedError, RoundAsked, publish_draw, publish_result, round_of
from counters.durable_file import write_durably
from counters.event import Event
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.kept_rolls import RollError, opened_or_remade, proof_of
from counters.ledger.log import LogError
from counters.ledger.reader import LogReader
from counters.ledger.writer_folder import log_begun
from counters.log_entries import read_log
from counters.log_key import load_signer
from counters.retained_tokens import FOLDER as TOKENS
from counters.retained_tokens import RetainedTokens
from counters.roll_opening import Opening, open_leaves
from counters.sealing import OtherEventError
from counters.secrets import SECRETS_FILE, load_secrets
from gateway.at_rest import AtRest, SetBackError, running_or_at_rest
from gateway.mendable import RunningLedgerError
from gateway.running_ledger import LONG_PATIENCE_S, RunningLedger


class AuditCommandError(Exception):
    """Nothing was done, and what to do about it."""


class Tokens(Protocol):
    """Where tickets are kept (counters.retained_tokens)."""

    def get(self, token_digest: bytes) -> bytes | None:
        """Return the ticket of that SHA-256; None if it is not kept."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened."""

    draw: int
    drawn: int
    without_ticket: int
    bytes: int


def correct_roll(event: Event, data: Path, asked: RoundAsked) -> dict[str, Any]:
    """Seal a corrected roll; return its entry and where its beacon round can be looked up.

    Raises:
        AuditCommandError: it is refused.
    """

    def seal(ledger: AtRest) -> dict[str, Any]:
        of = round_of(event, asked, ledger.now)
        entry = roll_sealing.seal(ledger.sealer, data / roll_sealing.FOLDER, ledger.now, of)
        return {"entry": entry, "look_up": of.look_up()}

    named = {"round": asked.number, "beacon": asked.beacon} | ({} if asked.at is None else {"at": asked.at})
    return _done(event, data, "/roll", named, seal)


def draw(event: Event, data: Path, value: str) -> dict[str, Any]:
    """Publish the draw that a beacon's value decides; return what `publish_draw` tells.

    Raises:
        AuditCommandError: it is refused.
    """
    rolls = data / roll_sealing.FOLDER

    def publish(ledger: AtRest) -> dict[str, Any]:
        return publish_draw(ledger.sealer, ledger.signer.verifier, value, ledger.now, rolls)

    return _done(event, data, "/audits", {"value": value}, publish)


def publish(event: Event, data: Path, number: int, auditor: str, note: str) -> dict[str, Any]:
    """Publish an auditor's signed result; return what `publish_result` tells.

    Raises:
        AuditCommandError: it is refused.
    """

    def enter(ledger: AtRest) -> dict[str, Any]:
        return publish_result(ledger.sealer, number, auditor, note, ledger.now)

    return _done(event, data, f"/audits/{number}/results", {"auditor": auditor, "note": note}, enter)


def _done(
    event: Event, data: Path, path: str, asked: dict[str, Any], work: Callable[[AtRest], dict[str, Any]]
) -> dict[str, Any]:
    if not log_begun(data / "log"):
        raise AuditCommandError(f"{data} holds no log: name the ledger's data directory with --data")
    try:
        return running_or_at_rest(
            event, data, lambda: RunningLedger.of(event, data).ask(path, asked, LONG_PATIENCE_S), work
        )
    except (OtherEventError, LogError, SetBackError, AuditRefusedError, AuditEntryError, RunningLedgerError) as error:
        raise AuditCommandError(str(error)) from None


def open_draw(data: Path, number: int | None, output: Path, tokens: Tokens | None = None) -> Opened:
    """Open a draw to an auditor: write the opening, mode 0600, for nobody but its reader.

    Args:
        data: the ledger's data directory; the ledger may run.
        number: the draw's entry; None = the newest.
        output: where to write.
        tokens: where tickets are; None = in the data directory.

    Raises:
        AuditCommandError: there is no such draw, or its roll is not what the log says and cannot be made again.
    """
    signer = load_signer(data)
    try:
        reader = LogReader(data / "log", signer.verifier)
        entries = list(reader.entries())
    except LogError as error:
        raise AuditCommandError(str(error)) from None
    log = read_log(entries)
    of = _draw(log.audits, number)
    rolls = data / roll_sealing.FOLDER
    try:
        # A backup has none: it follows from the evidence.
        tree = opened_or_remade(of.roll, entries, EvidenceStore(data / "evidence").get, rolls)
    except (RollError, EvidenceError, OSError) as error:
        raise AuditCommandError(str(error)) from None
    leaves, hashes = open_leaves(tree, of.positions())
    kept = tokens or RetainedTokens(data / TOKENS, load_secrets(data / SECRETS_FILE).audit_key)
    found = {position: kept.get(leaves[position][16:48]) for position in of.positions()}
    opening = Opening(
        event_sha256=log.event.digest,
        origin=signer.name,
        vkey=signer.verifier.encode(),
        draw=of.index,
        roll_proof=proof_of(of.roll, rolls),
        leaves=leaves,
        hashes=hashes,
        tokens={position: token for position, token in found.items() if token is not None},
    )
    raw = opening.encode()
    write_durably(output, raw, mode=0o600)
    return Opened(of.index, len(found), len(found) - len(opening.tokens), len(raw))


def write_pseudonym_key(data: Path, path: Path) -> None:
    """Write the pseudonym key for an auditor, alone, mode 0600: hex."""
    write_durably(path, load_secrets(data / SECRETS_FILE).pseudonym_key.hex().encode() + b"\n", mode=0o600)


def _draw(audits: AuditTrail, number: int | None) -> DrawEntry:
    if not audits.draws:
        raise AuditCommandError("nothing was drawn yet: turnout audit draw")
    if number is None:
        return audits.draws[-1]
    found = next((each for each in audits.draws if each.index == number), None)
    if found is None:
        known = ", ".join(str(each.index) for each in audits.draws)
        raise AuditCommandError(f"entry {number} is no draw; there is {known}")
    return found


def read_note(path: Path) -> tuple[int, str]:
    """Return the draw that an auditor's note is about, unchecked, and its text.

    Raises:
        AuditCommandError: it is none.
    """
    text = path.read_text()
    try:
        return int(json.loads(text.split("\n", 2)[1])["draw"]), text
    except (ValueError, KeyError, TypeError, IndexError):
        raise AuditCommandError(f"{path} is no signed result of an audit") from None
