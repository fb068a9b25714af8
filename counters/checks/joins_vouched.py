"""Whether the joins in the evidence were vouched for, each by a key that the log says was in force at its time."""

from counters.checks.verification import NEEDS_EVIDENCE, FailedError, OpenError, Verification
from counters.event import Event
from counters.keys_of_joins import JoinAt, KeysOfJoins


def keys_of_joins(state: Verification) -> str:
    """Every join by ticket, and every badge, names a key of its issuer that was in force then."""
    if state.given.evidence_dir is None:
        raise OpenError(NEEDS_EVIDENCE)
    event = state.the_log().event
    if state.keys_of_joins is None:
        raise OpenError("the evidence could not be read")
    return judged(event, state.keys_of_joins)


def judged(event: Event, found: KeysOfJoins) -> str:
    """Return what was found in words.

    Raises:
        FailedError: a join was taken under no key in force.
        OpenError: nobody can say it of some.
    """
    if found.first_wrong is not None:
        raise FailedError(
            f"{found.strange + found.untimely} of {found.held} joins and badges were taken under no key in force: "
            f"{found.strange} name none that their issuer ever had, {found.untimely} one that was added later or "
            f"retired before; the first is {_named(event, found.first_wrong)}"
        )
    said = f"{found.held} joins and badges name {len(found.used)} keys, each in force when it was taken"
    if found.by_token:
        said += f"; {found.by_token} joins show a viewing token, which a ticket shown before has given"
    if found.guests:
        said += f"; {found.guests} are of guests, for whom no issuer vouches"
    if found.first_doubtful is not None:
        raise OpenError(
            f"{said}, by their own dates. But the log has the evidence of {found.doubtful} of them only since their "
            f"key was retired, and nothing else says that they are older; the first is "
            f"{_named(event, found.first_doubtful)}"
        )
    return said


def _named(event: Event, join: JoinAt) -> str:
    key = f"the key {join.key} of {join.issuer}" if join.key else "no key"
    return (
        f"join {join.row + 1} of evidence {join.evidence} (entry {join.entry}, window {event.iso(join.window)}), "
        f"dated {event.iso(join.joined_at)}, under {key}"
    )
