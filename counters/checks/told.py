"""What a certificate tells beside its numbers, as checks read it: figures of people, and the numbers they are of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from counters.checks.leaves import Reasons
from counters.checks.verification import FailedError
from counters.log_entries import SealedLog, WindowLeaf
from counters.namespaces import UNIDENTIFIED, namespaces_of, together

ONE: Final = ""
"""What the only part of a figure is called in an event of one namespace."""
NOTHING: Final = {"present": 0, "arrived": 0, "background": 0, "views": 0}
Parts = Mapping[str, int | None]
"""People by namespace, None where they are withheld."""


@dataclass(frozen=True, slots=True)
class Told:
    """A certificate of version 3 and the log that it was counted from."""

    log: SealedLog
    document: Mapping[str, Any]
    reasons: Reasons

    @property
    def several(self) -> bool:
        """Whether people are of several namespaces."""
        return bool(namespaces_of(self.log.event))

    @property
    def below(self) -> int:
        """Fewer people than this are not shown."""
        return self.log.event.counting.suppress_below

    def people(self, said: object, where: str) -> dict[str, int | None]:
        """Return a figure by namespace: all the event's are there, and `UNIDENTIFIED` only with somebody in it.

        Raises:
            FailedError: it adds namespaces up, or is none of an event of one.
        """
        names = namespaces_of(self.log.event)
        by_name = said if names else {ONE: said}
        if not isinstance(by_name, dict) or not {*(names or [ONE])} <= by_name.keys() <= {*names, UNIDENTIFIED}:
            raise FailedError(f"{where}: people of several namespaces are not one number, and of one they are")
        if not all(count is None or is_count(count) for count in by_name.values()):
            raise FailedError(f"{where}: people are whole numbers")
        if names and by_name.get(UNIDENTIFIED, 1) == 0:
            raise FailedError(f"{where}: nobody is in no namespace, and yet stands there")
        return by_name

    def spaces(self) -> list[str]:
        """Return the namespaces of which people are counted, in their order; `ONE` where there is only one."""
        return sorted(self.people(self.document["waterfall"]["rows"][-1]["people"], "the waterfall"))

    def printed(self, rule: str, scope: Mapping[str, str]) -> Any:
        """Return a number as it is printed: its value, [largest, sum] of namespaces, or None if it is not."""
        for row in self.document["numbers"]:
            if (row["rule"], row["scope"]) == (rule, scope):
                return None if "suppressed" in row else row["bounds"] if row["value"] is None else row["value"]
        return None

    def is_withheld(self, rule: str, scope: Mapping[str, str]) -> bool | None:
        """Whether a number is withheld; None if the event does not count by that rule."""
        rows = (row for row in self.document["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
        return next(("suppressed" in row for row in rows), None)

    def differs(self, parts: Parts, rule: str, scope: Mapping[str, str]) -> bool:
        """Whether people by namespace, of which none is withheld, are not those of a printed number."""
        counted, number = [count for count in parts.values() if count is not None], self.printed(rule, scope)
        return len(counted) == len(parts) and number is not None and number != together(counted)

    def leaves_of(self, session: str) -> Iterator[tuple[WindowLeaf, Mapping[str, Any]]]:
        """Yield each window's leaf, and its row of a session ("" = the event), with zeros where it has none."""
        for leaf in self.log.windows.values():
            yield leaf, leaf.totals.get(session, NOTHING)


def is_count(value: object) -> bool:
    """Whether a value is a whole number of people or minutes: true is none."""
    return type(value) is int and value >= 0


def added(one: Parts, other: Parts) -> dict[str, int | None]:
    """Return the sum of two figures, namespace by namespace; withheld where either is."""
    found: dict[str, int | None] = {}
    for name in one.keys() | other.keys():
        both = one.get(name, 0), other.get(name, 0)
        found[name] = None if both[0] is None or both[1] is None else both[0] + both[1]
    return found


def has_only(row: object, *names: str) -> bool:
    """Whether a row is an object with these members and no others."""
    return isinstance(row, dict) and row.keys() == {*names}
