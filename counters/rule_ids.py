"""The counting rules that exist, by id: an event file may name these and no others."""

from typing import Final

KNOWN_RULES: Final = (
    "unique-attendees",
    "unique-attendees-onsite",
    "unique-attendees-online",
    "unique-attendees-both",
    "daily-attendance-sum",
    "session-attendance-sum",
    "views",
    "peak-concurrent-attendees",
    "average-minute-audience",
    "hours-viewed",
)
"""In the order in which a certificate prints them; each id is one definition for ever, its version is counted apart."""
