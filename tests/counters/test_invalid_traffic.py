"""Invalid traffic: the closed list of reasons and their bits."""

import random
from dataclasses import replace

import numpy as np
import pytest

from counters.invalid_attendees import reasons_of
from counters.invalid_traffic import IDS, REASONS, Flags, flags_of
from tests.counters.synthetic import event_of


def test_bits_keep_their_meaning_because_sealed_journals_hold_them() -> None:
    assert [(reason.id, int(reason.flag), reason.kind) for reason in REASONS] == [
        ("datacentre", 1, "GIVT"),
        ("declared-bot", 2, "GIVT"),
        ("impossible-rate", 4, "SIVT"),
        ("crowded-address", 8, "SIVT"),
    ]
    assert {reason.flag for reason in REASONS} == set(Flags)


def test_a_join_with_several_flags_goes_under_the_first_reason_of_the_list() -> None:
    event = event_of(random.Random(1))
    event = replace(event, counting=replace(event.counting, exclude_traffic=IDS))
    filters = np.array([0, Flags.IMPOSSIBLE_RATE | Flags.DECLARED_BOT], np.uint32)
    under = {reason: joins.tolist() for reason, joins in reasons_of(event, filters)}
    assert under == {reason: [False, False] for reason in IDS} | {"declared-bot": [False, True]}


def test_reasons_are_named_by_their_ids() -> None:
    assert flags_of(IDS) == 15
    assert flags_of([]) == 0
    with pytest.raises(KeyError):
        flags_of(["pause"])
