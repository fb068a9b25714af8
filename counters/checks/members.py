"""What a certificate prints beside its numbers, held against them, each other and the log: one story, told many times.

Only the evidence gives these members as they are; but who changes one of them, or a number, has to change the others,
and what leaves tell cannot be changed at all. One module for each member says what must agree with what, and what only
the evidence shows: that, the report names, so that nobody takes it for checked.
"""

from collections.abc import Iterator
from typing import Final

from counters.checks import apart, curve, deviations, gap_rows, minutes, waterfall
from counters.checks.leaves import Reasons
from counters.checks.told import Told
from counters.checks.verification import FailedError, OpenError, Verification
from counters.comparability import comparability
from counters.press import press

SINCE_VERSION: Final = 3
LEFT_OUT: Final = {
    1: "how far gaps may have falsified the numbers, the waterfall, the curve, corrections and audits",
    2: "the waterfall, the curve, corrections and audits",
}
OLD_FORM: Final = (
    "not checked: a certificate of version {version} leaves out {left_out}. Whoever issues one chose to: ask for "
    "one of version 3"
)
NOT_SHOWN: Final = (
    "how many people each reason and category takes out, how many joins are flagged, how people divide by minutes, in "
    "schedule and outside, in the foreground and the background, who was on site in which minute, the aliases, the "
    "estimates of unions, what each gap may hide"
)
"""What stands beside the numbers and only the evidence shows."""


def members_agree(state: Verification) -> str:
    """Everything beside the numbers agrees with them and with the leaves, as far as these tell it."""
    log, document = state.the_log(), state.the_document()
    if document["version"] < SINCE_VERSION:
        # An operator can issue an old form whenever one suits: what it leaves out must not pass for checked.
        raise OpenError(OLD_FORM.format(version=document["version"], left_out=LEFT_OUT[document["version"]]))
    told = Told(log, document, Reasons(log, document))
    for check in (
        waterfall.wrong,
        apart.wrong,
        curve.wrong,
        minutes.wrong,
        deviations.wrong,
        gap_rows.wrong,
        _sentences,
    ):
        for problem in check(told):
            raise FailedError(problem)
    said = f"waterfall, minutes attended and a curve of {len(document['curve']['windows'])} windows tell one story"
    return f"{said}. Only the evidence shows {NOT_SHOWN}"


def _sentences(told: Told) -> Iterator[str]:
    document = told.document
    numbers, rules = document["numbers"], document["rules"]
    expected = {
        "comparability": comparability(numbers, rules),
        "press": press(numbers, rules, document["event"], simulated=document["simulated"]),
    }
    for name, value in expected.items():
        if document[name] != value:
            yield f"the certificate's {name!r} does not follow from its numbers"
