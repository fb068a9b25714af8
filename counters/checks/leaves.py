"""The numbers against the public leaves: each that can be recomputed is, and each that differs has a reason."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from counters.attendance import scheduled_windows
from counters.certificate import as_of
from counters.checks.number_form import misshapen
from counters.checks.verification import FailedError, Verification
from counters.event_rules import rule_of, rules_of
from counters.gaps import windows_without_leaf
from counters.log_entries import SealedLog
from counters.measures import Cell, Measure
from counters.numbers import GUEST, are_bounds, as_estimate, printed_value, said_with_bounds, scopes
from counters.public_numbers import PublicNumbers
from counters.rules import OF_TIME, Rule
from counters.scope_keys import SMALL_SCOPES
from counters.segment import WINDOW_S
from counters.suppression import PEAK

PUBLIC_SCOPE: Final = frozenset(("session", "day", "channel"))
"""What public leaves can be asked for."""


def public_numbers(state: Verification) -> str:
    """Every number that the leaves give is that number, or differs by what only evidence can show."""
    log, document = state.the_log(), state.the_document()
    seen, found = _well_formed(log, document), _Found(log, Reasons(log, document))
    for row in document["numbers"]:
        found.hold(row)
    detail = f"{found.by_log} of {len(seen)} numbers recomputed from the public leaves"
    bounded = [row for row in document["numbers"] if row["value"] is not None and "bounds" in row]
    if bounded:
        detail += f"; gaps touch {len(bounded)}: {named(bounded[0])} is {said_with_bounds(bounded[0])}"
    return detail + found.in_words()


class _Found:
    """Holds numbers against the leaves, one after the other."""

    def __init__(self, log: SealedLog, reasons: "Reasons") -> None:
        self._log, self._reasons, self._public = log, reasons, PublicNumbers(log)
        self.by_log, self._unseen = 0, 0
        self._otherwise, self._unbounded = list[str](), list[str]()

    def hold(self, row: Mapping[str, Any]) -> None:
        """Take in a number; fail if the leaves belie it."""
        if not row["scope"].keys() <= PUBLIC_SCOPE:
            if row["checkable_by"] == "log":
                raise FailedError(f"{named(row)}: no public leaf speaks of it")
            self._unseen += 1
            return
        rule, cell = rule_of(self._log.event, row["rule"]), _cell(self._log, row["scope"])
        measure = self._public.measure(rule, cell)
        if row["value"] is None:
            self._reasons.check_withheld(row, rule, cell, measure)
            return
        same = measure is not None and _printed(self._log, measure).items() <= row.items()
        if same != (row["checkable_by"] == "log"):
            raise FailedError(
                f"{named(row)}: the certificate says {row['value']} and checkable_by {row['checkable_by']}, "
                f"the leaves {'nothing' if measure is None else printed_value(measure.value)}"
            )
        self.by_log += same
        self._unseen += measure is None
        if measure is not None and not same:
            self._differs(row, rule, cell, measure)

    def _differs(self, row: Mapping[str, Any], rule: Rule, cell: Cell, measure: Measure) -> None:
        why = self._reasons.why(rule, cell, measure, row["value"])
        leaves = printed_value(measure.value)
        if why is None:
            raise FailedError(
                f"{named(row)}: the certificate says {row['value']}, leaves {leaves}, and nothing in the log explains "
                "it: neither late evidence nor several seats of one attendee nor an exclusion can make this difference"
            )
        self._otherwise.append(f"{named(row)} {row['value']}, in the leaves {leaves} ({why})")
        if self._reasons.nothing_bounds(rule, cell, measure, row["value"]):
            self._unbounded.append(named(row))

    def in_words(self) -> str:
        """Return what the leaves do not tell."""
        said = ""
        if self._otherwise:
            said = f"; {len(self._otherwise)} differ from the leaves as only evidence can show, such as "
            said += self._otherwise[0]
        if self._unbounded:
            said += f"; NOT BOUNDED BY THE LEAVES, only the evidence shows them: {', '.join(self._unbounded)}"
        return said + (f"; of {self._unseen} no leaf speaks, only the evidence shows them" if self._unseen else "")


class Reasons:
    """Why a certificate may print another number than the public leaves give, as far as the log shows it.

    - Evidence that came late, and in time to count, stands in no window leaf. The log shows for which windows.
    - An attendee with several seats counts once in a certificate, and in leaves at each seat. The certificate says how
      many such seats there are; with none of them, none can be the reason. It makes fewer people and fewer views never;
      person-time can become more, since the second seat's arrival is none: at most as if nobody had arrived at all.
    - A seat of an excluded category is known to be one only from some leaf on, and is counted in those before: fewer
      than the leaves say. More only if it is another's seat, whose own category counts: of people and their time no
      more than so many seats, or than the sketches in the leaves, make possible; of views no more than leaves say that
      they left out (counters.left_out), which those of version 1 do not.
    - Invalid traffic that the event excludes is counted in every leaf, since that all joins of somebody are invalid is
      known only at the end: fewer people, views and time than the leaves say.
    - A view that two journals hold counts once: fewer views than the leaves say.
    - An estimate that a leaf withholds, of a session with few people, is in the peak of views all the same.
    - A journal can be of a longer heartbeat interval than the presence of its window: less person-time.
    """

    def __init__(self, log: SealedLog, document: Mapping[str, Any]) -> None:
        """Take the log, and the certificate for its aliases."""
        self._log = log
        self.aliases = int(document["aliases"]["count"])
        self._traffic = bool(log.event.counting.exclude_traffic)
        self._categories = bool(log.event.counting.exclude_categories)
        self.late = {leaf.window for leaf in log.late if leaf.counted}
        self._namespaces = {issuer.namespace for issuer in log.event.issuers}
        self._public, self._ceiling = PublicNumbers(log), PublicNumbers(log, arrivals=False)

    def why(self, rule: Rule, cell: Cell, measure: Measure, value: Any) -> str | None:
        """Return the reason for a number that is not what the leaves give, or None if there can be none."""
        if self._came_late(rule, cell):
            return "late evidence"
        if rule.estimated:
            hidden = value >= measure.value and self._public.withholds_estimates(cell)
            return "estimates that the leaves withhold" if hidden else None
        return self._of_people(rule, cell, measure, value)

    def _of_people(self, rule: Rule, cell: Cell, measure: Measure, value: Any) -> str | None:
        leaves = printed_value(measure.value)
        if self._categories and (value < leaves or self._may_be_more(rule, cell, value)):
            return "an excluded category became known later, or of another seat"
        if self._traffic and value < leaves:
            return "invalid traffic that the event excludes"
        if rule.id in OF_TIME:
            return self._why_of_time(rule, cell, leaves, value)
        if rule.id == "views":
            return "a view that two journals hold" if value < leaves else None
        # The peak: each seat that is another's is one person fewer at most, and never one more.
        return "several seats of one attendee" if self.aliases and leaves - self.aliases <= value <= leaves else None

    def nothing_bounds(self, rule: Rule, cell: Cell, measure: Measure, value: Any) -> bool:
        """Whether the log lets pass a number that is more than the leaves say, whatever it is."""
        late = self._came_late(rule, cell) and not rule.estimated
        views = rule.id == "views" and value > printed_value(measure.value) and self._public.most_views(cell) is None
        return bool(late or views or rule.estimated)

    def _may_be_more(self, rule: Rule, cell: Cell, value: Any) -> bool:
        """Whether leaves can have left out so many whom the certificate counts: only at seats that are another's."""
        if not self.aliases:
            return False
        if rule.id == "views":
            most = self._public.most_views(cell)
            return most is None or bool(value <= most)
        return bool(value <= printed_value(self._public.most(rule, cell, self.aliases)))

    def _why_of_time(self, rule: Rule, cell: Cell, leaves: float, value: Any) -> str | None:
        ceiling = self._ceiling.measure(rule, cell)
        if self.aliases and ceiling is not None and value <= printed_value(ceiling.value):
            return "several seats of one attendee"
        return "a journal of a longer heartbeat interval" if self._log.steering and value < leaves else None

    def check_withheld(self, row: Mapping[str, Any], rule: Rule, cell: Cell, measure: Measure | None) -> None:
        """Check that a number that is not printed may be withheld."""
        if row["checkable_by"] == "log":
            raise FailedError(f"{named(row)}: no public leaf speaks of it")
        if "suppressed" not in row:
            if len(self._namespaces) < 2 or not rule.of_people:
                raise FailedError(f"{named(row)}: nobody is counted in two namespaces, and yet it is an interval")
            return
        gates = any(session.gates for session in self._log.event.sessions)
        if rule.id == PEAK and not row["scope"] and gates and self._log.event.counting.suppress_below > 1:
            return  # how few were on site in that minute, only the evidence shows
        # Of views nobody knows how many two journals hold; what leaves tell of them, nobody can withhold anyway.
        uncertain = self._categories or self._traffic or rule.id in (*OF_TIME, "views") or self._came_late(rule, cell)
        least = 1 if uncertain or measure is None else measure.value - self.aliases
        if not row["scope"].keys() & SMALL_SCOPES or max(least, 1) >= self._log.event.counting.suppress_below:
            raise FailedError(f"{named(row)}: it is withheld, and is none of the small cells that may be")

    def came_late(self, window: int) -> bool:
        """Whether evidence came late for a window, and counts."""
        return window in self.late

    def between(self, window: int, counted: int | None) -> tuple[int, int | None]:
        """Return between what and what that count can be of which a window's leaf has so many; None: no upper limit.

        `counted` is how many were online, or online in the background; None is withheld.
        """
        if window in self.late:
            return 0, None
        least, most = (0, self._log.event.counting.suppress_below - 1) if counted is None else (counted, counted)
        if self._categories:
            most += self.aliases
        if self._traffic or self._categories:
            least = 0
        return max(least - self.aliases, 0), most

    def _came_late(self, rule: Rule, cell: Cell) -> bool:
        """Whether evidence that came late may be of this cell: of a session, nobody but the evidence says."""
        if rule.id in OF_TIME:
            windows = scheduled_windows(self._log.event, cell.session, cell.day)
            # Somebody who was there a minute before has not arrived.
            return any(window in self.late or window - WINDOW_S in self.late for window in windows)
        return any(cell.day in (None, self._log.event.day(window)) for window in self.late)


def _well_formed(log: SealedLog, document: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (rule, scope) of every number: each once, as its rule has it, none left out that must be there."""
    seen: set[tuple[str, str]] = set()
    known_at = as_of(log, document["issued_at"])
    boundless = document["version"] > 1 and bool(windows_without_leaf(log) or log.restored)
    for row in document["numbers"]:
        rule, key = rule_of(log.event, row["rule"]), (row["rule"], _scope_key(row["scope"]))
        stated = (row["rule_version"], row["unit"], row["kind"], row["as_of"])
        unit = "devices" if row["scope"] == GUEST and rule.of_people else rule.unit
        if stated != (rule.version, unit, rule.kind, known_at) or row["checkable_by"] not in ("log", "evidence"):
            raise FailedError(f"{named(row)}: version, unit, kind, as_of or checkable_by are not the rule's")
        if wrong := misshapen(row):
            raise FailedError(f"{named(row)}: {wrong}")
        if not are_bounds(row, boundless=boundless, version=document["version"]):
            raise FailedError(f"{named(row)}: its bounds are none, or not those of an event with such gaps")
        if key in seen:
            raise FailedError(f"{named(row)}: it is there twice")
        seen.add(key)
    for row in _owed(log):
        if (row["rule"], _scope_key(row["scope"])) not in seen:
            raise FailedError(f"{named(row)}: the number is left out")
    return seen


def _owed(log: SealedLog) -> Iterator[dict[str, Any]]:
    """Yield rule and scope of each number that must be there, whatever the evidence is."""
    days = sorted({log.event.day(window) for window in log.event.scheduled_windows()})
    for rule in rules_of(log.event):
        for scope in scopes(log.event, rule, days, {}):
            yield {"rule": rule.id, "scope": scope.printed}


def _printed(log: SealedLog, measure: Measure) -> dict[str, Any]:
    """Return what a number says of what was measured."""
    at = {} if measure.at is None else {"at": log.event.iso(measure.at)}
    return {"value": printed_value(measure.value)} | at | as_estimate(measure)


def _cell(log: SealedLog, scope: dict[str, str]) -> Cell:
    """Return the cell of a scope that public leaves can speak of (`PUBLIC_SCOPE`)."""
    session = log.event.session(scope["session"]) if "session" in scope else None
    if "session" in scope and session is None:
        raise FailedError(f"the event has no session {scope['session']!r}")
    return Cell(session.number if session else None, scope.get("day"), scope.get("channel"))


def _scope_key(scope: Mapping[str, str]) -> str:
    return json.dumps(dict(scope), sort_keys=True)


def named(row: Mapping[str, Any]) -> str:
    """Return a number's rule and scope in words."""
    scope = ", ".join(f"{key} {value}" for key, value in row["scope"].items()) or "whole event"
    return f"{row['rule']} ({scope})"
