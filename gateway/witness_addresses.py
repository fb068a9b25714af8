"""Where an event's witnesses can be reached: the event file says it, entry 0 does not, so it is kept beside the log."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

from counters.durable_file import make_folder
from counters.event import Event
from gateway.processes import write_json

ADDRESSES: Final = Path("ledger", "witnesses.json")
"""Where the witnesses can be reached, by name: what entry 0 does not say."""


class WitnessesError(Exception):
    """The log may not begin or go on: its witnesses have not said that they have seen no more of it."""


def remember_addresses(event: Event, data: Path) -> None:
    """Keep in the data directory where the event's witnesses can be reached."""
    if event.witnesses:
        make_folder((data / ADDRESSES).parent)
        write_json(data / ADDRESSES, {witness.name: witness.url for witness in event.witnesses})


def with_addresses(event: Event, data: Path) -> Event:
    """Return the event of entry 0 with its witnesses' addresses.

    Raises:
        WitnessesError: they are not known.
    """
    try:
        urls = json.loads((data / ADDRESSES).read_bytes())
        return replace(event, witnesses=tuple(replace(each, url=urls[each.name]) for each in event.witnesses))
    except (OSError, ValueError, KeyError) as error:
        raise WitnessesError(
            f"it is not known where this event's witnesses are ({error!r}): start the ledger once with the event file, "
            "and stop it again"
        ) from None
