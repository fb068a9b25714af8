"""What a certificate says about the roll and its audits: all of it stands in the log, for everybody to compare."""

from typing import Any

from counters.audit_entries import DrawEntry
from counters.bogus_bound import CONFIDENCE_PERCENT
from counters.ledger.note import encode_base64
from counters.log_entries import SealedLog


def stated_roll(log: SealedLog) -> dict[str, Any] | None:
    """Return the roll that counts, None if none is sealed: the event is not over, or nobody has made one."""
    roll = log.audits.roll
    if roll is None:
        return None
    at = log.event.iso(roll.at)
    return {"entry": roll.index, "size": roll.size, "root": encode_base64(roll.root), "sealed_at": at}


def stated_audits(log: SealedLog) -> list[dict[str, Any]]:
    """Return every draw with the results that auditors have signed; one without any says that nobody has."""
    return [
        {
            "entry": draw.index,
            "roll": draw.roll.index,
            "beacon": {
                "name": draw.roll.round.beacon,
                "round": draw.roll.round.number,
                "value": draw.value.value.hex(),
            },
            "k": draw.k,
            "drawn_at": log.event.iso(draw.at),
            "results": _results(log, draw),
        }
        for draw in log.audits.draws
        if draw.roll.round is not None
    ]


def _results(log: SealedLog, draw: DrawEntry) -> list[dict[str, Any]]:
    return [
        {
            "entry": each.index,
            "auditor": each.auditor,
            "drawn": each.result.drawn,
            "bogus": each.result.bogus,
            "bogus_at_most": each.result.bogus_at_most,
            "confidence_percent": CONFIDENCE_PERCENT,
            "order_witnessed": each.result.order_witnessed,
            "stated_at": log.event.iso(each.at),
        }
        for each in log.audits.results
        if each.draw == draw
    ]
