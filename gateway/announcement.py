"""The announcement: which heartbeat interval a worker asks of players, in one place for all answers that say it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Announcement:
    """What players are told. One object a worker, shared by the door, the join and whoever steers."""

    interval_s: int
    """Seconds between two heartbeats of a player; may change while the worker serves."""
