"""Lies that an organiser with the log's key can sign beside the numbers, and how the log alone refuses them.

Each is told of a certificate of one namespace in which nothing is withheld (`plain_world`), but for `ADDED_UP`, which
are of two. Both verifiers refuse them: the command line here, the page in its corpus.
"""

from collections.abc import Callable
from typing import Any, Final

Said = dict[str, Any]
Lie = Callable[[Said], object]


def _first_session(said: Said) -> Said:
    found: Said = said["apart"]["rows"][1]
    return found


def _move(one: str, other: str) -> Lie:
    """Move all person-minutes of the first session that need not be there from one part to the other."""

    def lie(said: Said) -> None:
        by = _first_session(said)[one]["person_minutes"] - _first_session(said)[one]["people"]
        for row in said["apart"]["rows"][:2]:
            row[one]["person_minutes"] -= by
            row[other]["person_minutes"] += by

    return lie


def _more_minutes(part: str, by: int) -> Lie:
    def lie(said: Said) -> None:
        for row in said["apart"]["rows"][:2]:
            row[part]["person_minutes"] += by

    return lie


def _wider_band(said: Said) -> None:
    bands = said["minutes"][0]["bands"]
    bands[1]["from"], bands[0]["to"] = 4, 3


def _longer(said: Said) -> None:
    """Everybody attended eight hours."""
    bands = said["minutes"][0]["bands"]
    bands[-1]["people"], bands[0]["people"] = sum(band["people"] for band in bands), 0
    for band in bands[1:-1]:
        band["people"] = 0


def _larger(said: Said) -> None:
    largest = said["cross_check"]["windows"]["largest_deviation"]
    largest.update(estimate=largest["estimate"] + 3, exact=largest["exact"] + 3)


def _better_union(said: Said) -> None:
    said["cross_check"]["unions"][0]["difference_in_standard_errors"] = 0.001


def _more_online(said: Said) -> None:
    from counters.cross_check import deviation, interval95  # noqa: PLC0415 - as a careful operator does

    row = said["cross_check"]["unions"][0]
    row.update(exact=40_000_000, estimate=40_000_000, interval95=interval95(40_000_000))
    row["difference_in_standard_errors"] = float(round(deviation(40_000_000, 40_000_000), 3))


def _alarm(said: Said) -> None:
    first = said["curve"]["windows"][1]
    said["cross_check"]["windows"]["over_5_standard_errors_in_3_windows_running"] = [{"session": "s1", "window": first}]


def _both(said: Said, **changes: int) -> None:
    said["exclusions"].update({name: said["exclusions"][name] + by for name, by in changes.items()})


def _gap(**changes: Any) -> Lie:
    row = {"gap": "no-leaf", "window": "2023-11-20T00:00:00+08:00", "seconds": 60, "worker": None, "gateway": None,
           "more_people_at_most": None, "fewer_people_at_most": 0}  # fmt: skip
    return lambda said: said["gaps"]["bounds"]["rows"].append(row | changes)


def _bounded(said: Said) -> None:
    said["gaps"]["bounds"]["rows"].clear()
    said["numbers"][0]["bounds"] = [said["numbers"][0]["value"], said["numbers"][0]["value"] + 5]


FORGERIES: Final[dict[str, tuple[str, Lie]]] = {
    "apart: people moved to nobody": ("are not its", lambda said: said["apart"]["rows"][0]["outside"].update(people=0)),
    "apart: more people than are online": (
        "are not its",
        lambda said: _first_session(said)["foreground"].update(people=_first_session(said)["foreground"]["people"] + 1),
    ),
    "apart: all in the background": (
        "in the background", _move("foreground", "background"),
    ),
    "apart: longer in the foreground": ("person-minutes online", _more_minutes("foreground", 60)),
    "apart: longer in schedule": ("is not of the", _more_minutes("in_schedule", 60)),
    "apart: the event's alone": (
        "not its sessions' added up",
        lambda said: said["apart"]["rows"][0]["in_schedule"].update(
            person_minutes=said["apart"]["rows"][0]["in_schedule"]["person_minutes"] + 1
        ),
    ),
    "apart: other words": ("something else", lambda said: said["apart"].update(statement="Everybody watched closely.")),
    "apart: a session left out": ("each of its sessions", lambda said: said["apart"]["rows"].pop()),
    "minutes: another edge": ("do not begin where bands begin", _wider_band),
    "minutes: eight hours each": ("median is in another band", _longer),
    "minutes: a longer mean": (
        "is not of the", lambda said: said["minutes"][0].update(mean=said["minutes"][0]["mean"] + 0.5),
    ),
    "minutes: a longer mean of a session": (
        "is not of the", lambda said: said["minutes"][1].update(mean=said["minutes"][1]["mean"] + 0.25),
    ),
    "minutes: a later median": ("median is in another band", lambda said: said["minutes"][0].update(median=480)),
    "minutes: a session withheld": (
        "are withheld, or shown",
        lambda said: said["minutes"][1].update(bands=None, median=None, mean=None, suppressed=True),
    ),
    "deviations: of another estimate": ("its leaf", _larger),
    "deviations: none": (
        "without windows, or windows without one",
        lambda said: said["cross_check"]["windows"].update(largest_deviation=None),
    ),
    "deviations: fewer compared": (
        "compares 0 windows", lambda said: said["cross_check"]["windows"].update(compared=0),
    ),
    "deviations: of a union": ("not that of estimate and exact count", _better_union),
    "deviations: more online": ("counts 40000000 online", _more_online),
    "deviations: a false alarm": ("do not bear out", _alarm),
    "deviations: an interval": (
        "not that of the estimate", lambda said: said["cross_check"]["unions"][0].update(interval95=[0, 1]),
    ),
    "exclusions: fewer excluded": ("the exclusions have", lambda said: _both(said, excluded=1)),
    "exclusions: more gross": ("the exclusions have", lambda said: _both(said, gross=9, excluded=9)),
    "exclusions: guests made up": ("the exclusions have", lambda said: _both(said, guests=1, net=-1)),
    "exclusions: more views": ("the exclusions have", lambda said: _both(said, views_gross=5, views_excluded=5)),
    "exclusions: another category": (
        "not of the event's categories", lambda said: said["exclusions"].update(categories=["press"]),
    ),
    "waterfall: another step": (
        "other reasons than the event's",
        lambda said: said["waterfall"]["rows"].insert(
            1, {"step": "minus", "reason": "robots", "kind": "GIVT", "people": 0, "views": 0}
        ),
    ),
    "waterfall: a flag of other words": (
        "'flagged' does not say", lambda said: said["waterfall"]["flagged"][0].update(definition="Harmless."),
    ),
    "waterfall: a flag that takes out": (
        "'flagged' does not say", lambda said: said["waterfall"]["flagged"][0].update(excluded=True),
    ),
    "waterfall: other words": (
        "is not what the log gives", lambda said: said["waterfall"].update(statement="Audited."),
    ),
    "aliases: other words": ("'aliases' say something else", lambda said: said["aliases"].update(statement="None.")),
    "gaps: one that the log does not show": ("the log shows no gap", _gap()),
    "gaps: one that there is not": ("no such gap", _gap(gap="sunspots")),
    "gaps: nobody knows, and yet bounded": ("and yet it is bounded", _gap(more_people_at_most=5)),
    "gaps: bounds without a gap": ("there is no gap", _bounded),
    "gaps: other words": (
        "something else", lambda said: said["gaps"]["bounds"].update(statement="Nothing is missing."),
    ),
}  # fmt: skip


def _sum_of(figure: dict[str, int]) -> int:
    return sum(figure.values())


def _people(said: Said) -> None:
    for row in said["waterfall"]["rows"]:
        row["people"] = _sum_of(row["people"])


def _one_curve(said: Said) -> None:
    for name in ("online", "onsite", "either"):
        columns = said["curve"][name].values()
        said["curve"][name] = [sum(each or 0 for each in row) for row in zip(*columns, strict=True)]


def _one_distribution(said: Said) -> None:
    said["minutes"] = [row | {"scope": {}} for row in said["minutes"][:1]]


def _one_part(said: Said) -> None:
    row = said["apart"]["rows"][0]["foreground"]
    row["people"] = sum(each or 0 for each in row["people"].values())


def _to_the_other(said: Said) -> None:
    one, other = "tickets", "press"
    for row in (said["waterfall"]["rows"][0], said["waterfall"]["rows"][-1]):
        row["people"][one] += 1
        row["people"][other] -= 1


ADDED_UP: Final[dict[str, tuple[str, Lie]]] = {
    "several namespaces: one waterfall": ("are not one number", _people),
    "several namespaces: one curve": ("are not one number", _one_curve),
    "several namespaces: one distribution": ("each of its sessions", _one_distribution),
    "several namespaces: one part": ("are not one number", _one_part),
    "several namespaces: from one to the other": ("is another number", _to_the_other),
}
"""Of an event of two namespaces: people of both as one figure."""
