"""The public log as a whole: every hash recomputed, the event that it locks, and no file that says something else."""

from collections.abc import Iterator
from pathlib import Path

from counters.checks.verification import NEEDS_LOG, FailedError, OpenError, Verification
from counters.cosigned import COSIGNED, cosigned_sizes
from counters.evidence_store import EvidenceStore
from counters.ledger.merkle import leaf_hash
from counters.ledger.reader import LogReader
from counters.ledger.tile_files import CHECKPOINT
from counters.ledger.tiles import is_within
from counters.log_entries import LogEntryError, SealedLog, read_log
from counters.manifest import Manifest
from counters.timestamp_files import TIMESTAMPS, timestamped_sizes
from counters.window_entries import read_time


def whole_log(state: Verification) -> str:
    """Every tile and entry is what the signed root makes it, and certificate and proof speak of this history."""
    if state.given.log_dir is None:
        raise OpenError(NEEDS_LOG)
    reader = LogReader(state.given.log_dir, state.the_verifier())
    checkpoint = reader.full_check()
    entries = list(reader.entries())
    state.published, state.leaf_hashes = checkpoint, [leaf_hash(entry) for entry in entries]
    stated = state.stated_checkpoint()
    earlier = {"certificate": stated} | ({"proof": state.proven} if state.proven else {})
    roots = state.roots([each.size for each in earlier.values()])
    # First whatever this copy can contradict: one that is only older says nothing, and is nobody's fault.
    for name, each in earlier.items():
        if each.size <= checkpoint.size and roots[each.size] != each.root:
            raise FailedError(f"the log does not begin with the {each.size} entries that the {name} speaks of")
    if stated.size <= checkpoint.size:
        state.entries, state.newest = entries[: stated.size], entries
    for name, each in earlier.items():
        if each.size > checkpoint.size:
            raise OpenError(
                f"this copy of the log has {checkpoint.size} entries, fewer than the {each.size} of the {name}: it is "
                "older; fetch the log anew. If it has no more entries now, it was set back"
            )
    return f"{checkpoint.size} entries, every tile recomputed; it extends what certificate and proof speak of"


def sealed_event(state: Verification) -> str:
    """The entries are those of the event that the certificate names, each in its place."""
    log = read_log(state.the_entries())
    if log.event.digest != state.the_document()["event_sha256"]:
        raise FailedError("entry 0 locks another event than the certificate names")
    state.log = log
    detail = f"{_locked(log)}; {len(log.windows)} windows in order, each once"
    for leaf in log.restored:
        detail += (
            f"; entry {leaf.index} says that the log was RESTORED FROM A BACKUP: evidence accepted from "
            f"{log.event.iso(leaf.since)} to {log.event.iso(leaf.at)} may be lost"
        )
    return detail


def _locked(log: SealedLog) -> str:
    """Return when entry 0 locked the rules, by the ledger's clock: too late is to be read, and contradicts nothing."""
    first = min(log.event.sessions, key=lambda session: session.starts_at)
    begun = int(first.starts_at.timestamp())
    said = f"entry 0 locked {log.event.id} at {log.locked_at}"
    try:
        locked = read_time(log.event, log.locked_at)
    except LogEntryError:
        return f"{said}, WHICH IS NO TIME: WHETHER BEFORE THE FIRST SESSION, NOBODY CAN SAY"
    if locked < begun:
        return f"{said}, before the first session began"
    return f"{said}: LOCKED AFTER THE FIRST SESSION HAD BEGUN ({first.id} began at {log.event.iso(begun)})"


def no_other_files(state: Verification) -> str:
    """Strictly: nothing lies in the folders of log and evidence but what the log leads to."""
    given, published = state.given, state.published
    if given.log_dir is None:
        raise OpenError(NEEDS_LOG)
    if published is None:
        raise OpenError("the log did not pass")
    stray = list(_stray_in_log(given.log_dir, published.size))
    if given.evidence_dir is not None:
        if not state.evidence_read:
            raise OpenError("the evidence did not pass")
        known = state.evidence_read | _of_later_leaves(state, EvidenceStore(given.evidence_dir))
        stray += [path for path in sorted(given.evidence_dir.rglob("*")) if path.name not in known]
    if stray:
        raise FailedError(f"{len(stray)} files to which nothing in the log leads, such as {stray[0]}")
    return "every file is one that the log leads to"


def _of_later_leaves(state: Verification, store: EvidenceStore) -> set[str]:
    """Return the files to which leaves lead that this copy of the log has, and the certificate does not count."""
    if not state.newest or len(state.newest) == len(state.the_entries()):
        return set()
    log, names = read_log(state.newest), set[str]()
    for leaf in log.leaves[len(state.the_log().leaves) :]:
        names |= {leaf.manifest_sha256}
        names |= {file.sha256 for file in Manifest.decode(store.get(leaf.manifest_sha256)).evidence}
    return names | {change.revocations_sha256 or "" for change in log.steering}


def _stray_in_log(log_dir: Path, size: int) -> Iterator[Path]:
    known = {CHECKPOINT}
    known |= {f"{COSIGNED}/{each}" for each in cosigned_sizes(log_dir) if each <= size}
    known |= {f"{TIMESTAMPS}/{each}.tsr" for each in timestamped_sizes(log_dir / TIMESTAMPS) if each <= size}
    for path in sorted(log_dir.rglob("*")):
        name = path.relative_to(log_dir).as_posix()
        if not path.is_dir() and name not in known and not is_within(name, size):
            yield path
