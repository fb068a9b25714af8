"""What a certificate prints beside its numbers, held against them and against the log: it is one story, told twice.

Only the evidence gives these members as they are; but who changes one of them, or a number, has to change the others:

    waterfall  gross minus all that is taken out is net, which is what `unique-attendees` and `views` count; refusals
               and revocations are those of the log
    minutes    the bands of a scope hold its unique attendees
    curve      each scheduled window, and in each as many online as its leaf says, or a reason (`Reasons`); the largest
               is the peak; either is no more than online and on site together
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from counters.attendance import CHANNELS, ONLINE
from counters.checks.leaves import Reasons
from counters.checks.verification import FailedError, Verification
from counters.comparability import comparability
from counters.curve import EITHER
from counters.log_entries import SealedLog
from counters.press import press
from counters.waterfall import refused_of, revoked_of

SINCE_VERSION: Final = 3
PEAK: Final = "peak-concurrent-attendees"


def members_agree(state: Verification) -> str:
    """Waterfall, minutes and curve agree with the numbers and with the leaves."""
    log, document = state.the_log(), state.the_document()
    if document["version"] < SINCE_VERSION:
        return f"a certificate of version {document['version']} prints no more than its numbers"
    for found in (
        _waterfall(log, document),
        _minutes(document),
        _curve(log, document),
        _heights(document),
        _sentences(document),
    ):
        for wrong in found:
            raise FailedError(wrong)
    return f"waterfall, minutes attended and a curve of {len(document['curve']['windows'])} windows tell one story"


def _sentences(document: Mapping[str, Any]) -> Iterator[str]:
    numbers, rules = document["numbers"], document["rules"]
    expected = {
        "comparability": comparability(numbers, rules),
        "press": press(numbers, rules, document["event"], simulated=document["simulated"]),
    }
    for name, value in expected.items():
        if document[name] != value:
            yield f"the certificate's {name!r} does not follow from its numbers"


def _value(document: Mapping[str, Any], rule: str, scope: Mapping[str, str]) -> Any:
    """Return a number that is printed, None if it is not."""
    rows = (row["value"] for row in document["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return next(rows, None)


def _waterfall(log: SealedLog, document: Mapping[str, Any]) -> Iterator[str]:
    said = document["waterfall"]
    gross, *minus, net = said["rows"]
    if (gross["step"], net["step"]) != ("gross", "net") or any(row["step"] != "minus" for row in minus):
        yield "the waterfall does not lead from gross to net"
    for unit, rule in (("people", "unique-attendees"), ("views", "views")):
        if min(row[unit] for row in said["rows"]) < 0 or gross[unit] - sum(row[unit] for row in minus) != net[unit]:
            yield f"the waterfall's {unit} do not add up"
        counted = _value(document, rule, {})
        if counted is not None and counted != net[unit]:
            yield f"the waterfall leaves {net[unit]} {unit}, and {rule} is {counted}"
    logged = {**refused_of(log), "revoked": revoked_of(log)}
    for name, value in logged.items():
        if said[name] != value:
            yield f"the waterfall's {name!r} is not what the log gives"


def _minutes(document: Mapping[str, Any]) -> Iterator[str]:
    for row in document["minutes"]:
        counted = _value(document, "unique-attendees", row["scope"])
        if row["bands"] is None or counted is None:
            continue
        if sum(band["people"] for band in row["bands"]) != counted:
            yield f"the minutes attended of {row['scope'] or 'the event'} are not of its {counted} unique attendees"


def _curve(log: SealedLog, document: Mapping[str, Any]) -> Iterator[str]:
    event, said, below = log.event, document["curve"], log.event.counting.suppress_below
    reasons = Reasons(log, document)
    columns = [said[name] for name in (*CHANNELS, EITHER)]
    if any(len(column) != len(said["windows"]) for column in columns):
        yield "the curve's columns are not of one length"
    online = dict(zip(said["windows"], said[ONLINE], strict=True))
    sealed_until = max((leaf.window for leaf in log.leaves), default=0)
    scheduled = set(event.scheduled_windows())
    for window in sorted(scheduled.union(log.windows)):
        here = event.iso(window)
        leaf = log.windows.get(window)
        present = leaf.totals.get("", {"present": 0})["present"] if leaf else 0
        if here not in online:
            # A window that is not scheduled is there if somebody was: on site, which no leaf says, or online.
            owed = window in scheduled and window <= sealed_until
            if owed or not reasons.may_be_present(window, present, 0):
                yield f"the curve lacks the window {here}"
        elif not reasons.may_be_present(window, present, online[here]):
            yield f"the curve has {online[here]} online in the window {here}, its leaf {present}"
    for channel in CHANNELS:
        peak, most = _value(document, PEAK, {"channel": channel}), max((n or 0 for n in said[channel]), default=0)
        if peak is not None and peak != most and max(peak, most) >= below:
            yield f"the curve's largest number {channel} is {most}, the peak {peak}"


def _heights(document: Mapping[str, Any]) -> Iterator[str]:
    said = document["curve"]
    for here, *counted in zip(said["windows"], *(said[name] for name in (*CHANNELS, EITHER)), strict=True):
        if not _may_be_counted(*counted):
            yield f"the curve has {counted} in the window {here}: online, on site and either cannot be these"
    peak, most = _value(document, PEAK, {}), max((n or 0 for n in said[EITHER]), default=0)
    if peak is not None and most > peak:
        yield f"the curve's largest number is {most}, the peak {peak}"


def _may_be_counted(*counted: object) -> bool:
    """Whether these can be who was online, on site, and on either: whole numbers, or None if they are withheld."""
    if not all(number is None or (type(number) is int and number >= 0) for number in counted):
        return False
    one, other, either = (number if isinstance(number, int) else None for number in counted)
    return one is None or other is None or either is None or max(one, other) <= either <= one + other
