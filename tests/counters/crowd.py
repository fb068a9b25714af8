"""A crowd online of which few are on site in the same minute."""

import random
from dataclasses import replace

from counters.event import Counting
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.rule_ids import KNOWN_RULES
from tests.counters import synthetic
from tests.counters.synthetic import World


def crowd(onsite: int, ever: int) -> World:
    """Return twelve online and `onsite` others on site in one minute, and `ever` more on site two minutes later.

    Fewer than five are few.
    """
    world = synthetic.World(synthetic.event_of(random.Random(3)))
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    world.event = replace(world.event, issuers=issuers, counting=Counting(KNOWN_RULES, (), 5))
    session, begin = world.event.sessions[0], synthetic.START + 240
    for seat in range(1, 13 + onsite + ever):
        world.person_of_seat[seat] = f"person-{seat}"
        world.joins.append(
            Join(
                seat=seat, session=session.number, kind=JoinKind.BADGE, assurance=Assurance.TICKETED, filters=0, view=0,
                joined_at_ms=begin * 1000 - seat, pseudonym=f"person-{seat}".encode().ljust(16, b"\0"),
                token_digest=bytes(32), address=bytes(8), issuer="issuer-0",
                key_thumbprint=synthetic.THUMBPRINT, country="FR", category="", outlet="", network="", agent="",
            )
        )  # fmt: skip
        if seat <= 12:
            world.beats.append((0, begin, session.number, seat, False))
        else:
            at_ms = (begin + (0 if seat <= 12 + onsite else 120)) * 1000
            world.scans.append(
                Scan(
                    seat=seat, session=session.number, direction=Direction.IN, forced=False, scanned_at_ms=at_ms,
                    received_at_ms=at_ms, gate=session.gates[0], nonce=f"{seat}", refusal="",
                )
            )  # fmt: skip
    return world
