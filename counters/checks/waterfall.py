"""The waterfall and the exclusions against each other, the numbers, the event and the leaves.

Gross minus all that is taken out is net, namespace by namespace, and net is what `unique-attendees` and `views` count;
what is taken out has the event's reasons in their order. Exclusions are the same sums once more. Refusals and
revocations are those of the log. How many people and joins each reason took out, only the evidence shows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from counters.certificate import ALIASES_STATEMENT
from counters.checks.told import Told, added, has_only, is_count
from counters.invalid_traffic import REASONS
from counters.numbers import GUEST
from counters.waterfall import CATEGORY, OTHERS, STATEMENT, refused_of, revoked_of

EXCLUSIONS = ("categories", "unit", "gross", "excluded", "guests", "net", "views_gross", "views_excluded", "views_net")


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    said = told.document["waterfall"]
    if not has_only(said, "statement", "rows", "refused", "scans_refused", "flagged", "revoked", "guests"):
        yield "the waterfall has other members than it must"
    if not all(has_only(row, "step", "reason", "kind", "people", "views") for row in said["rows"]):
        yield "a row of the waterfall has other members than it must"
    yield from _steps(told, said["rows"])
    yield from _sums(told, said["rows"])
    yield from _logged(told, said["rows"][1:-1])
    yield from _exclusions(told)


def _steps(told: Told, rows: Sequence[Any]) -> Iterator[str]:
    gross, *minus, net = rows
    if (gross["step"], net["step"]) != ("gross", "net") or any(row["step"] != "minus" for row in minus):
        yield "the waterfall does not lead from gross to net"
    if not _are_of_the_event(told, minus) or any(row["reason"] or row["kind"] for row in (gross, net)):
        yield "the waterfall takes out other reasons than the event's, or in another order"


def _sums(told: Told, rows: Sequence[Any]) -> Iterator[str]:
    gross, *minus, net = rows
    people = [told.people(row["people"], "the waterfall") for row in rows]
    left = people[-1]
    for taken in people[1:-1]:
        left = added(left, taken)
    if None in left.values() or {**left} != {**dict.fromkeys(left, 0), **people[0]}:
        yield "the waterfall's people do not add up"
    if not all(is_count(row["views"]) for row in rows):
        yield "the waterfall's views are no whole numbers"
    if gross["views"] - sum(row["views"] for row in minus) != net["views"]:
        yield "the waterfall's views do not add up"
    if told.differs(people[-1], "unique-attendees", {}):
        yield f"the waterfall leaves {net['people']} people, and unique-attendees is another number"
    views = told.printed("views", {})
    if views is not None and views != net["views"]:
        yield f"the waterfall leaves {net['views']} views, and views is {views}"


def _are_of_the_event(told: Told, minus: Sequence[Any]) -> bool:
    counting = told.log.event.counting
    traffic = [(reason.id, reason.kind) for reason in REASONS if reason.id in counting.exclude_traffic]
    said = [(row["reason"], row["kind"]) for row in minus]
    if said[: len(traffic)] != traffic:
        return False
    rest = said[len(traffic) :]
    shown = [(name, CATEGORY) for name in counting.exclude_categories if (name, CATEGORY) in rest]
    hidden = len(shown) < len(counting.exclude_categories)
    return rest == shown + [(OTHERS, CATEGORY)] * hidden


def _logged(told: Told, minus: Sequence[Any]) -> Iterator[str]:
    said, excluded = told.document["waterfall"], told.log.event.counting.exclude_traffic
    fixed = {**refused_of(told.log), "revoked": revoked_of(told.log), "statement": STATEMENT}
    for name, value in fixed.items():
        if said[name] != value:
            yield f"the waterfall's {name!r} is not what the log gives"
    flagged = [
        {"reason": reason.id, "kind": reason.kind, "definition": reason.definition, "excluded": reason.id in excluded}
        for reason in REASONS
    ]
    if [{name: row[name] for name in row if name != "joins"} for row in said["flagged"]] != flagged:
        yield "the waterfall's 'flagged' does not say which flags the event takes out, and what they mean"
    joins = {row["reason"]: row["joins"] for row in said["flagged"]}
    if not all(map(is_count, joins.values())):
        yield "the waterfall's flagged joins are no whole numbers"
    if any(row["views"] > joins[row["reason"]] for row in minus if row["kind"] != CATEGORY):
        yield "the waterfall takes out more views than joins were flagged"


def _exclusions(told: Told) -> Iterator[str]:
    said, waterfall = told.document["exclusions"], told.document["waterfall"]
    guests, gross, net = waterfall["guests"], waterfall["rows"][0], waterfall["rows"][-1]
    if not has_only(said, *EXCLUSIONS) or not all(is_count(said[name]) for name in EXCLUSIONS[2:]):
        yield "the certificate's 'exclusions' are not of whole numbers"
        return
    if not has_only(guests, "devices", "views") or not all(map(is_count, guests.values())):
        yield "the waterfall's guests are no whole numbers"
        return
    fixed = {"categories": list(told.log.event.counting.exclude_categories), "unit": "identities"}
    if any(said[name] != value for name, value in fixed.items()):
        yield "the certificate's 'exclusions' are not of the event's categories"
    people = [sum(part or 0 for part in told.people(row["people"], "the waterfall").values()) for row in (gross, net)]
    sums = {
        "gross": people[0] + guests["devices"],
        "net": people[1],
        "views_gross": gross["views"],
        "views_net": net["views"],
        "views_excluded": gross["views"] - net["views"],
        "excluded": said["gross"] - said["net"] - said["guests"],
    }
    for name, value in sums.items():
        if said[name] != value:
            yield f"the exclusions have {said[name]} as {name!r}, the waterfall {value}"
    if said["guests"] > guests["devices"] or guests["views"] > gross["views"]:
        yield "there are more guests that count than guests, or more of their views than views"
    devices = told.printed("unique-attendees", GUEST)
    if devices is not None and devices != said["guests"]:
        yield f"the exclusions have {said['guests']} guests, and unique-attendees of guests is {devices}"
    aliases = told.document["aliases"]
    if aliases["statement"] != ALIASES_STATEMENT or not has_only(aliases, "count", "sha256", "statement"):
        yield "the certificate's 'aliases' say something else than what aliases are"
