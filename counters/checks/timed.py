"""Timestamps of an outside authority: when the log's entries were there, by somebody else's clock."""

from datetime import UTC, datetime

from counters.checks.alone import proven
from counters.checks.soonest import soonest
from counters.checks.verification import FailedError, OpenError, Verification
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.proof import TlogProof
from counters.timestamp_files import TIMESTAMPS, timestamp_path, timestamped_sizes


def timestamps(state: Verification) -> str:
    """Every timestamp is the authority's, of this history; say since when certificate and windows were there."""
    from counters.timestamps import ANSWER_LIMIT_BYTES, Authority, TimestampError  # noqa: PLC0415 - an extra

    given, checkpoint = state.given, proven(state)
    folder = given.timestamps_dir or (given.log_dir / TIMESTAMPS if given.log_dir else None)
    if folder is None or given.authority is None:
        raise OpenError("no timestamps are at hand: name their folder with --timestamps, or the log with --log")
    authority = Authority.decode(given.authority)
    sizes = timestamped_sizes(folder)
    roots = {checkpoint.size: checkpoint.root} | (state.roots(sizes) if state.leaf_hashes is not None else {})
    times = {}
    for size in sizes:
        if size not in roots:
            continue
        text = Checkpoint(checkpoint.origin, size, roots[size]).encode().encode()
        try:
            with timestamp_path(folder, size).open("rb") as file:
                times[size] = authority.time_of(file.read(ANSWER_LIMIT_BYTES + 1), text)
        except TimestampError as error:
            raise FailedError(f"the timestamp of size {size}: {error}") from error
    unknown = len(sizes) - len(times)
    if not times:
        raise OpenError(f"{folder} has no timestamp of a state that is known here; it has {unknown} others")
    index = TlogProof.decode(given.proof).index
    said = f"{len(times)} of {authority.name}" + (f", and {unknown} of states that are not known here" * bool(unknown))
    of_certificate = [at for size, at in times.items() if size > index]
    said += (
        f"; the certificate was in the log at {datetime.fromtimestamp(min(of_certificate), UTC):%Y-%m-%d %H:%M:%S} UTC"
        if of_certificate
        else "; none of a state that holds the certificate"
    )
    if state.log is not None and not state.log.event.simulated and (found := soonest(state.log, times)):
        said += f"; largest delay from a window's end to a timestamp: {found.said(state.log)}"
    return said
