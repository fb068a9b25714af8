"""The comparability sheet: all rules over the same evidence side by side, and each confusion told apart.

In 2023 one convention was reported with 20 million people online, and with 40 million. Both can be true of one ledger:
the one counts each person once, the other adds up the days. A pure function of a certificate's `numbers` and `rules`,
so that anybody who holds the certificate makes the same sheet.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from counters.wording import Row, figure, people, said, whole_event

STATEMENT: Final = (
    "All of these were counted from the same evidence of the same event; they differ because they count different "
    "things. Compare a number only with one of the same rule. Tickets sold, registrations and invitations are in none "
    "of them."
)

Sentence = Callable[[Row, Row], str]


def _times(many: Row, few: Row) -> str:
    """Return how many times a number holds another, in words; nothing where that is no one number."""
    if many["value"] is None or not few["value"]:
        return ""
    return f", {figure(many['value'] / few['value'])} for each on average"


def _same(one: Row, other: Row) -> bool:
    """Whether two numbers are one figure: not so for intervals, of which nobody knows."""
    return one["value"] is not None and bool(one["value"] == other["value"])


def _nobody(row: Row) -> bool:
    return bool(row["value"] == 0)


def _sum(of: str) -> Sentence:
    def sentence(total: Row, came: Row) -> str:
        if _same(total, came):
            return (
                f"{people(came)} came, each for one {of} only: so the {of}s added up are {said(total)} as well. That "
                "sum is a number of people only where nobody comes twice."
            )
        return (
            f"{people(came)} came; whoever adds up the {of}s prints {said(total)}, because each of them is in "
            f"that sum once for every {of}{_times(total, came)}. Both are true of the same evidence, and only the "
            "first is a number of people."
        )

    return sentence


def _of_these(what: str) -> Sentence:
    def sentence(fewer: Row, everybody: Row) -> str:
        if _same(fewer, everybody):
            return f"All of them, {people(everybody)}, {what}."
        if _nobody(fewer):
            return f"Of {people(everybody)}, nobody {what}: all of them came without that."
        return f"Of {people(everybody)}, {said(fewer)} {what}: the others came as well."

    return sentence


def _views(views: Row, viewers: Row) -> str:
    return (
        f"{said(views)} views are not {said(views)} viewers: a view is one playback, whoever returns or takes a second "
        f"device opens another, and guests' are among them. The people who were online are {said(viewers)}"
        f"{', by chance as many' if _same(views, viewers) else ''}."
    )


def _combined(onsite: Row, online: Row) -> str:
    for nobody, others, where, there in ((onsite, online, "on site", "online"), (online, onsite, "online", "on site")):
        if _nobody(nobody):
            return f"Nobody was {where}: whoever came was {there}, {people(others)}."
    return (
        f"{said(onsite)} on site and {said(online)} online must not be added up: whoever was both would count twice. "
        "The people together are unique-attendees, and those on both are unique-attendees-both."
    )


def _peak(peak: Row, came: Row) -> str:
    if _same(peak, came):
        return f"All who came, {people(came)}, were there in one and the same minute: only so is the peak the total."
    return (
        f"At most {said(peak)} people were there in one and the same minute; {said(came)} came at any time. The peak "
        "is no total, and that total was never there at once."
    )


def _peak_of_views(views: Row, people: Row) -> str:
    return (
        f"At most {said(views)} views were playing in one minute, and at most {said(people)} people were present in "
        "one: a person with two devices is two views, and who is on site is none."
    )


def _peak_or_all_views(peak: Row, views: Row) -> str:
    return f"{said(views)} views were opened over the whole event; {said(peak)} of them at most played at once."


def _average(average: Row, viewers: Row) -> str:
    return (
        f"{people(viewers)} watched at some time; in an average scheduled minute {said(average)} were watching. "
        "The average is the audience of a broadcast, not the number of its viewers."
    )


def _average_or_peak(average: Row, peak: Row) -> str:
    return (
        f"The fullest minute had {said(peak)} people, online and on site; the average scheduled minute {said(average)} "
        "online."
    )


def _hours(hours: Row, viewers: Row) -> str:
    return f"{said(hours)} hours were watched, by {people(viewers)}{_times(hours, viewers)}: hours are no people."


def _inside(inside: Row, onsite: Row) -> str:
    now = "Nobody was" if _nobody(inside) else f"{people(inside)} {'was' if inside['value'] == 1 else 'were'}"
    return f"{now} inside at the time of this certificate; {said(onsite)} had been on site by then."


CONFUSIONS: Final[tuple[tuple[str, str, Sentence], ...]] = (
    ("daily-attendance-sum", "unique-attendees", _sum("day")),
    ("session-attendance-sum", "unique-attendees", _sum("session")),
    ("views", "unique-attendees-online", _views),
    ("unique-attendees-onsite", "unique-attendees-online", _combined),
    ("reach-3min", "unique-attendees-online", _of_these("watched three minutes in a row")),
    ("reach-2min", "unique-attendees-online", _of_these("watched two minutes in a row")),
    ("peak-concurrent-attendees", "unique-attendees", _peak),
    ("peak-concurrent-views", "peak-concurrent-attendees", _peak_of_views),
    ("peak-concurrent-views", "views", _peak_or_all_views),
    ("average-minute-audience", "unique-attendees-online", _average),
    ("average-minute-audience", "peak-concurrent-attendees", _average_or_peak),
    ("hours-viewed", "unique-attendees-online", _hours),
    ("attended-80-percent", "unique-attendees", _of_these("saw four fifths of a session")),
    ("credit-50min", "unique-attendees", _of_these("attended 50 minutes of a session")),
    ("inside-count", "unique-attendees-onsite", _inside),
)
"""The number that is taken for the other, the other, and how they are told apart."""


def _told_apart(sentence: Sentence, one: Row, other: Row) -> str:
    if _nobody(one) and _nobody(other):
        return f"{one['rule']} and {other['rule']} are both 0: there was nothing to count."
    return sentence(one, other)


def comparability(numbers: Iterable[Row], rules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the certificate's member `comparability`.

    Args:
        numbers: the certificate's.
        rules: the certificate's.

    Returns:
        `statement`; `rows`, one for each rule over the whole event: rule, scope, unit, definition, value, and `bounds`
        where the number has them; `confusions`: the two rules and the sentence that tells them apart.
    """
    found = whole_event(numbers)
    definitions = {rule["id"]: rule["definition"] for rule in rules}
    rows = [
        {name: found[rule][name] for name in ("rule", "scope", "unit", "value", "bounds") if name in found[rule]}
        | {"definition": definition}
        for rule, definition in definitions.items()
        if rule in found
    ]
    confusions = [
        {"rules": [one, other], "sentence": _told_apart(sentence, found[one], found[other])}
        for one, other, sentence in CONFUSIONS
        if one in found and other in found
    ]
    return {"statement": STATEMENT, "rows": rows, "confusions": confusions}
