"""Whether a certificate still stands: nothing but a correction in the log ends that, and a correction stays there."""

import hashlib

from counters.checks.verification import NEEDS_LOG, NO_LOG, FailedError, OpenError, Verification
from counters.corrections import check_entered, own_correction, superseded_by


def not_superseded(state: Verification) -> str:
    """No correction in this copy of the log supersedes it; and if it is itself one, the log says so."""
    if state.newest is None:
        raise OpenError(NO_LOG if state.given.log_dir else NEEDS_LOG)
    sha256 = hashlib.sha256(state.given.certificate).hexdigest()
    if leaf := superseded_by(sha256, state.newest):
        raise FailedError(f"superseded by entry {leaf.index}: {leaf.reason} (certificate {leaf.certificate})")
    detail = f"nothing in this log of {len(state.newest)} entries supersedes it"
    if own := own_correction(state.the_document()):
        if state.proven is not None and len(state.newest) < state.proven.size:
            raise OpenError(f"{detail}; that it supersedes certificate {own.entry} itself, only a newer copy can show")
        check_entered(sha256, own, state.newest)
        detail += f"; it supersedes certificate {own.entry}: {own.reason}"
    return detail
