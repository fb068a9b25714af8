"""Invalid traffic: what a gateway saw at a join that an audience measurement takes out, one bit for each reason.

The bits stand in `filters` of a join (counters.journal, counters.journal_segment). Flagging never refuses a viewer: the
join, its view and its presence are evidence like any other, and counting decides by the event's rules, which are locked
before the doors open. So whoever doubts a flag recomputes the numbers without it.

    bit  reason            MRC      a join has it when
    0    datacentre        general  the client's address is in a network of the gateway's list (gateway.traffic)
    1    declared-bot      general  the User-Agent says itself that it is a robot or a browser without a screen
    2    impossible-rate   sophist. one attendee has joined more often within a minute than a person can
    3    crowded-address   sophist. one network prefix has joined more often within a minute than an audience behind one
                                    address does; apart from bit 2, since a lecture hall is one address

Other bits are 0. A revoked ticket needs none: the log's revocations name the seats.

Source: Media Rating Council, Invalid Traffic Detection and Filtration Standards Addendum (2020): general invalid
traffic (GIVT) is found by lists and parameters, sophisticated (SIVT) needs a closer look, here at rates.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Literal


class Flags(IntFlag):
    """The bits of a join's `filters`. A closed list: a bit, once given, keeps its meaning."""

    DATACENTRE = 1
    DECLARED_BOT = 2
    IMPOSSIBLE_RATE = 4
    CROWDED_ADDRESS = 8


@dataclass(frozen=True, slots=True)
class TrafficReason:
    """One reason why a join may be no audience."""

    id: str
    flag: Flags
    kind: Literal["GIVT", "SIVT"]  # general or sophisticated invalid traffic, MRC's words
    definition: str


REASONS: Final = (
    TrafficReason("datacentre", Flags.DATACENTRE, "GIVT",
                  "The join came from an address in a listed data-centre network."),
    TrafficReason("declared-bot", Flags.DECLARED_BOT, "GIVT",
                  "The player's User-Agent says that it is a robot or a browser without a screen."),
    TrafficReason("impossible-rate", Flags.IMPOSSIBLE_RATE, "SIVT",
                  "The attendee had joined more often within a minute than a person can."),
    TrafficReason("crowded-address", Flags.CROWDED_ADDRESS, "SIVT",
                  "The address's network prefix had joined more often within a minute than an audience behind one "
                  "address does."),
)  # fmt: skip
"""In the order in which a waterfall takes them out: a join with several flags goes under the first of them."""

IDS: Final = tuple(reason.id for reason in REASONS)


def flags_of(ids: tuple[str, ...] | list[str]) -> Flags:
    """Return the bits of these reasons.

    Raises:
        KeyError: there is no such reason.
    """
    by_id = {reason.id: reason.flag for reason in REASONS}
    flags = Flags(0)
    for each in ids:
        flags |= by_id[each]
    return flags
