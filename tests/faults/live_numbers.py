"""Live numbers of a rig: what a gateway says, and what it has to say, to the last person.

A viewing token carries the places of its attendee and view in the sketches. So the sketches that the workers should
have sent can be made here, without them: live numbers are right if they are the estimates of those.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from counters import hyperloglog
from counters.uniques import EVENT_SHARDS, SESSION_SHARDS
from gateway.viewing_token import TokenKeys
from tests.faults.crowd import Player
from tests.faults.rig import Rig
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import ask, until

Numbers = dict[tuple[str, str], int]
"""By (rule, session); the whole event is ""."""
EVENT = ""


def document(rig: Rig, gateway: int = 0) -> dict[str, Any]:
    """What a gateway says of the room."""
    answer = ask(rig.gateways[gateway].port, "GET", "/v1/events/expo/live")
    assert answer.status == 200
    return dict(answer.json)


def numbers(said: dict[str, Any]) -> Numbers:
    """The values of a document, without those of one channel."""
    rows = [row for row in said["numbers"] if "channel" not in row["scope"]]
    return {(row["rule"], row["scope"].get("session", "")): row["value"] for row in rows}


def expected(rig: Rig, playing: Sequence[Player], joined: Sequence[Player] | None = None) -> Numbers:
    """The numbers when these play and these (everybody who ever joined) have joined today."""
    keys = TokenKeys.derive(rig.secrets, rig.event.id)
    everybody = rig.crowd.players if joined is None else joined
    found: Numbers = {}
    for session in (EVENT, *(session.id for session in rig.event.sessions)):
        here = [keys.open(player.token) for player in playing if session in {EVENT, player.session}]
        came = [keys.open(player.token) for player in everybody if session in {EVENT, player.session}]
        found["live-attendees", session] = _estimate([token.attendee for token in here], 1)
        found["live-views", session] = _estimate([token.view for token in here], 1)
        shards = SESSION_SHARDS if session else EVENT_SHARDS
        found["joined-attendees", session] = _estimate([token.attendee for token in came], shards)
    return found


def _estimate(positions: Sequence[int], shards: int) -> int:
    registers = np.zeros((shards, hyperloglog.REGISTERS), np.uint8)
    for position in positions:
        register, selector, rank = position & 0x3FFF, (position >> 14) & 0x3FF, position >> 24
        registers[selector % shards, register] = max(registers[selector % shards, register], rank)
    return sum(hyperloglog.estimate(shard) for shard in registers)


def until_live_is(rig: Rig, wanted: Numbers, gateways: Sequence[int] = (0,)) -> None:
    """Wait until gateways say these numbers, and that they are fresh."""

    def said() -> bool:
        documents = [document(rig, gateway) for gateway in gateways]
        return all(not said["stale"] and numbers(said) == wanted for said in documents)

    try:
        until(said, "the live numbers are what they have to be", CERTAIN_S)
    except AssertionError as error:
        raise AssertionError(
            f"{wanted} is said otherwise: {[document(rig, gateway) for gateway in gateways]}"
        ) from error


def until_stale(rig: Rig, of: Numbers, gateways: Sequence[int] = (0,)) -> None:
    """Wait until gateways say that their numbers are stale; these are the last ones that they had."""
    until(lambda: all(document(rig, gateway)["stale"] for gateway in gateways), "live numbers are stale", CERTAIN_S)
    for gateway in gateways:
        assert numbers(document(rig, gateway)) == of
