"""The curve against the leaves and the peaks: each scheduled window, and in each as many online as its leaf says.

Of several namespaces it is their sum that the leaf has; how it divides, only the evidence shows. What is online can
differ from the leaf for a reason (`Reasons`); the largest is the peak; either is no more than online and on site.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from counters.attendance import CHANNELS, ONLINE
from counters.checks.told import Told, is_count
from counters.curve import EITHER

PEAK: Final = "peak-concurrent-attendees"
Columns = Mapping[str, Sequence[int | None]]
"""By namespace: how many were present in each window, None where they are withheld."""


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    said, spaces = told.document["curve"], told.spaces()
    if said.keys() != {"windows", *CHANNELS, EITHER}:
        yield "the certificate's 'curve' has other members than it must"
        return
    by_channel: dict[str, Columns] = {
        name: said[name] if told.several else {spaces[0]: said[name]} for name in (*CHANNELS, EITHER)
    }
    if any(sorted(columns) != spaces for columns in by_channel.values()):
        yield "the curve's people of several namespaces are not one number, and of one they are"
        return
    if any(len(column) != len(said["windows"]) for columns in by_channel.values() for column in columns.values()):
        yield "the curve's columns are not of one length"
        return
    yield from _online(told, dict(zip(said["windows"], zip(*by_channel[ONLINE].values(), strict=True), strict=True)))
    for space in spaces:
        yield from _heights(said["windows"], *(by_channel[name][space] for name in (*CHANNELS, EITHER)))
    for name, columns in by_channel.items():
        yield from _peak(told, name, columns)


def _heights(windows: Sequence[str], *columns: Sequence[object]) -> Iterator[str]:
    for here, *counted in zip(windows, *columns, strict=True):
        if not _may_be_counted(*counted):
            yield f"the curve has {counted} in the window {here}: online, on site and either cannot be these"


def _may_be_counted(*counted: object) -> bool:
    """Whether these can be who was online, on site, and on either: whole numbers, or None if they are withheld."""
    if not all(number is None or is_count(number) for number in counted):
        return False
    one, other, either = (number if isinstance(number, int) else None for number in counted)
    return one is None or other is None or either is None or max(one, other) <= either <= one + other


def _online(told: Told, online: Mapping[str, Sequence[int | None]]) -> Iterator[str]:
    event, log = told.log.event, told.log
    sealed_until = max((leaf.window for leaf in log.leaves), default=0)
    scheduled = set(event.scheduled_windows())
    for window in sorted(scheduled.union(log.windows)):
        here, leaf = event.iso(window), log.windows.get(window)
        present = leaf.totals.get("", {"present": 0})["present"] if leaf else 0
        least, most = told.reasons.between(window, present)
        if here not in online:
            # A window that is not scheduled is there if somebody was: on site, which no leaf says, or online.
            if (window in scheduled and window <= sealed_until) or least > 0:
                yield f"the curve lacks the window {here}"
            continue
        fewest = sum(1 if people is None else people for people in online[here])
        largest = sum(told.below - 1 if people is None else people for people in online[here])
        if largest < max(least, fewest) or (most is not None and fewest > most):
            yield f"the curve has {list(online[here])} online in the window {here}, its leaf {present}"


def _peak(told: Told, channel: str, columns: Columns) -> Iterator[str]:
    """The largest number of each namespace, or one that is so small that it is not shown, is the peak's."""
    peak: Any = told.printed(PEAK, {} if channel == EITHER else {"channel": channel})
    if peak is None:
        return
    largest = [max((people or 0 for people in column), default=0) for column in columns.values()]
    highest = [max(people, told.below - 1) for people in largest]
    between: list[tuple[int, int | None]] = [(max(largest), max(highest)), (sum(largest), sum(highest))]
    if channel == EITHER:  # it is withheld wherever a channel is: a peak can be where nothing shows it
        between = [(least, None) for least, _ in between]
    said = peak if isinstance(peak, list) else [peak, peak]
    for number, (least, most) in zip(said, between, strict=True):
        if number < least or (most is not None and number > most):
            yield f"the curve's largest number {channel} is {least}, the peak {number}"
