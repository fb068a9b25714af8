"""People by namespace: those of several issuer namespaces are never added up.

Pseudonyms meet only within a namespace, so nobody can tell whether somebody in one is somebody in another. Where an
event's issuers are of several, whatever a certificate prints of people beside its numbers is printed of each namespace
by itself; how many people they are together lies between the largest and the sum.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from pyroaring import BitMap

from counters.event import Event

UNIDENTIFIED: Final = ""
"""Whoever no journal knows; stands beside the event's namespaces only where there is somebody."""
Figure = int | dict[str, int]
"""How many people: one number, or of an event of several namespaces one for each."""


def namespaces_of(event: Event) -> tuple[str, ...]:
    """Return the event's namespaces, ascending; none if it has only one, and its people can be told apart."""
    names = sorted({issuer.namespace for issuer in event.issuers})
    return tuple(names) if len(names) > 1 else ()


def named(event: Event, namespaces: Mapping[str, BitMap]) -> dict[str, BitMap]:
    """Return the attendees of each of the event's namespaces, and of `UNIDENTIFIED` if there are any.

    Nothing for an event of one namespace; `namespaces` are those of an attendance.
    """
    names = namespaces_of(event)
    found = {name: namespaces.get(name, BitMap()) for name in names}
    others = namespaces.get(UNIDENTIFIED, BitMap()) if names else BitMap()
    return ({UNIDENTIFIED: others} if others else {}) | found


def figure(event: Event, namespaces: Mapping[str, BitMap], who: BitMap) -> Figure:
    """Return how many these are: whoever is in none of the event's `namespaces` is `UNIDENTIFIED`."""
    names = namespaces_of(event)
    if not names:
        return len(who)
    found = {name: who.intersection_cardinality(namespaces.get(name, BitMap())) for name in names}
    others = len(who) - sum(found.values())
    return ({UNIDENTIFIED: others} if others else {}) | found


def parts(of: Figure) -> list[int]:
    """Return the numbers of a figure, none of which may be added to another as people."""
    return [of] if isinstance(of, int) else list(of.values())


def together(counted: Iterable[int]) -> int | list[int]:
    """Return how many people namespaces hold together, as numbers print it: [largest, sum] where several hold any."""
    holding = [people for people in counted if people]
    return [max(holding), sum(holding)] if len(holding) > 1 else sum(holding)
