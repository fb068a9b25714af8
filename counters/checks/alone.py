"""What a certificate and its proof show by themselves: whole, signed into a log, by a key that somebody trusts."""

from collections.abc import Iterator

from counters.certificate import certificate_entry, read_certificate
from counters.checks.verification import FailedError, OpenError, Verification
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.cosignature import WitnessKey
from counters.ledger.note import NoteError, Verifier, open_note
from counters.ledger.proof import TlogProof
from counters.ledger.tile_files import CHECKPOINT


def canonical_form(state: Verification) -> str:
    """The certificate is canonical JSON of a version that is known."""
    document = state.document = read_certificate(state.given.certificate)
    detail = f"certificate of {document['event_sha256'][:16]}…, issued {document['issued_at']}"
    return f"{detail}. It says: {document['notice']}" if document.get("notice") else detail


def key(state: Verification) -> str:
    """The log's key is one that the trust policy names."""
    log, policy = state.the_document()["log"], state.given.policy
    verifier = Verifier.decode(log["vkey"])
    if verifier.name != log["origin"]:
        raise FailedError(f"the key is named {verifier.name!r}, the log {log['origin']!r}")
    state.verifier = verifier
    if policy is None:
        raise OpenError(
            "no trust policy was given (--policy): the log's key was taken from the certificate itself, so anybody "
            f"could have made both. Compare it with one that you trust: {log['vkey']}"
        )
    if verifier not in policy.logs:
        raise FailedError(f"the trust policy does not name the log key {log['vkey']}")
    return f"the trust policy names {log['vkey']}"


def inclusion(state: Verification) -> str:
    """The certificate is an entry of the log that it names, after those that it counts."""
    document, verifier = state.the_document(), state.the_verifier()
    proof = TlogProof.decode(state.given.proof)
    if proof.extra is not None:
        raise FailedError("the proof carries extra data, which nobody has signed")
    checkpoint = proof.verify(certificate_entry(state.given.certificate), verifier)
    if proof.index < document["log"]["size"]:
        raise FailedError("the certificate stands in the log before the entries that it counts")
    state.proven = checkpoint
    return f"entry {proof.index} of {checkpoint.origin}, signed at size {checkpoint.size}"


def signature_lines(state: Verification) -> str:
    """Strictly: every signature line is of the log's key or of a witness that somebody names, once, and holds.

    The note format ignores lines of unknown keys, so anything can stand there.
    """
    known: list[Verifier] = [state.the_verifier(), *_witnesses(state)]
    lines = 0
    for name, note in _notes(state):
        try:
            opened = open_note(note, dict.fromkeys(known))
        except NoteError as error:
            raise FailedError(f"{name}: {error}") from error
        if opened.ignored:
            raise FailedError(f"{name}: nobody says whose the signature line of {opened.ignored[0].name!r} is")
        signers = [(signature.name, signature.key_id) for signature in opened.verified]
        if len(set(signers)) != len(signers):
            raise FailedError(f"{name}: a key has signed it twice")
        lines += len(signers)
    return f"all {lines} are of keys that are known, and hold"


def _witnesses(state: Verification) -> Iterator[WitnessKey]:
    """Yield the witnesses that the certificate or the trust policy names."""
    for row in state.the_document().get("witnesses", ()):
        yield WitnessKey.decode(row["vkey"])
    if state.given.policy is not None:
        yield from state.given.policy.witnesses.values()


def _notes(state: Verification) -> Iterator[tuple[str, bytes]]:
    yield "proof", TlogProof.decode(state.given.proof).checkpoint_note
    if state.given.log_dir is not None:
        yield "log", (state.given.log_dir / CHECKPOINT).read_bytes()


def proven(state: Verification) -> Checkpoint:
    """Return the checkpoint that the proof leads to."""
    if state.proven is None:
        raise OpenError("the checkpoint of the proof could not be checked")
    return state.proven
