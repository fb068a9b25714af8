"""Who the made-up people are: everything about a person follows from its number and the seed, wherever it is asked.

Persons are numbered: first the attendees, who come online, in the order of their first join; then guests (devices),
then people who are only on site. What is drawn at random is a hash of the person's number, so that no table of forty
million rows is needed, and two processes agree without speaking.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from load_tests.scale.programme import EXCLUDED, Programme

Numbers = npt.NDArray[np.int64]
"""Numbers of persons."""
Draws = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Which = npt.NDArray[np.bool_]

GUEST_BIT: Final = 1 << 31
BLOCK: Final = 65_536
"""Seats that a worker is granted at once."""
ALIASED: Final = 1000
"""One in so many attendees is seated a second time when it comes again on another day."""
WORKERS_A_GATEWAY: Final = 2

COUNTRIES: Final = (
    "", "AE", "AR", "AT", "AU", "BD", "BE", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EG", "ES", "FI",
    "FR", "GB", "GR", "HK", "ID", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "MA", "MX", "MY", "NG", "NL", "NO", "NZ",
    "PE", "PH", "PK", "PL", "PT", "RO", "SA", "SE", "SG", "TH", "TR", "US", "VN",
)  # fmt: skip
"""Fifty, and the tickets that tell none."""
CATEGORIES: Final = ("visitor", "exhibitor", "press", "student", EXCLUDED)
_CATEGORY_SHARES: Final = np.cumsum((0.8, 0.05, 0.03, 0.1195, 0.0005))
OUTLETS: Final = tuple(f"outlet-{number:03}" for number in range(300))
NETWORKS: Final = ("", "datacentre")
AGENTS: Final = ("browser", "mobile", "tv")


def draw(purpose: int, *numbers: npt.NDArray[np.int64] | int) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each (purpose, numbers…): the finaliser of SplitMix64 over a weighted sum."""
    mixed = np.asarray(purpose * 0x9E3779B97F4A7C15 & (1 << 64) - 1, np.uint64)
    for position, number in enumerate(numbers):
        weight = np.uint64((0xD1342543DE82EF95, 0xAF251AF3B0F025B5)[position])
        mixed = mixed + (np.asarray(number).astype(np.uint64) + np.uint64(1)) * weight
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ mixed >> np.uint64(31))


def fractions(purpose: int, *numbers: npt.NDArray[np.int64] | int) -> Draws:
    """Return the same as numbers in [0, 1)."""
    return (draw(purpose, *numbers) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


@dataclass(frozen=True, slots=True)
class People:
    """How many there are of each sort, on how many gateways; and the seed of all that is drawn."""

    attendees: int
    guests: int
    onsite_only: int
    gateways: int
    seed: int
    programme: Programme  # of what they come to

    @classmethod
    def of(cls, attendees: int, gateways: int, seed: int, programme: Programme | None = None) -> "People":
        """Return the people of an event of so many attendees online."""
        onsite_only = max(10, attendees // 40_000)
        return cls(attendees, attendees // 200, onsite_only, gateways, seed, programme or Programme())

    @property
    def online(self) -> int:
        """How many persons come online: numbers below this."""
        return self.attendees + self.guests

    @property
    def all(self) -> int:
        """How many persons there are."""
        return self.online + self.onsite_only

    @property
    def workers(self) -> int:
        """How many workers there are; worker k belongs to gateway k modulo their number."""
        return self.gateways * WORKERS_A_GATEWAY

    @property
    def _blocks_of_attendees(self) -> int:
        return ((self.attendees // self.workers + 1) // BLOCK + 1) * self.workers

    @property
    def blocks(self) -> int:
        """How many blocks of seats are granted: to attendees, then one run for aliases, then one for on-site people."""
        return self._blocks_of_attendees + self._blocks_of_aliases + self.onsite_only // BLOCK + 1

    @property
    def _blocks_of_aliases(self) -> int:
        return self.attendees // ALIASED // BLOCK + 1

    def worker_of_block(self, block: int) -> int:
        """Return who was granted a block."""
        return block % self.workers

    def purpose(self, number: int) -> int:
        """Return a purpose for `draw` that depends on the seed."""
        return self.seed * 256 + number

    def home(self, persons: Numbers) -> Numbers:
        """Return the worker that seats each person."""
        return persons % self.workers

    def seats(self, persons: Numbers) -> npt.NDArray[np.uint32]:
        """Return each person's canonical seat: the next one of its worker's blocks."""
        place = persons // self.workers + 1
        block = place // BLOCK * self.workers + persons % self.workers
        guests = GUEST_BIT + persons - self.attendees + 1
        onsite = (self._blocks_of_attendees + self._blocks_of_aliases) * BLOCK + persons - self.online
        seats = np.where(persons < self.attendees, block * BLOCK + place % BLOCK, guests)
        return np.where(persons < self.online, seats, onsite).astype(np.uint32)

    def has_alias(self, persons: Numbers) -> Which:
        """Return who is seated a second time on coming again."""
        return np.asarray((persons % ALIASED == ALIASED // 2) & (persons < self.attendees))

    def alias_seats(self, persons: Numbers) -> npt.NDArray[np.uint32]:
        """Return the second seat of those who have one."""
        return (self._blocks_of_attendees * BLOCK + persons // ALIASED).astype(np.uint32)

    def pseudonyms(self, persons: Numbers) -> npt.NDArray[np.uint64]:
        """Return two little-endian words for each person: as random as a keyed hash is."""
        return np.stack([draw(self.purpose(1), persons), draw(self.purpose(2), persons)], axis=1)

    def guest(self, persons: Numbers) -> Which:
        """Return who is a device and no person."""
        return np.asarray((persons >= self.attendees) & (persons < self.online))

    def countries(self, persons: Numbers) -> Codes:
        """Return positions in COUNTRIES: few countries have most people. Guests tell none."""
        rank = np.floor(len(COUNTRIES) ** fractions(self.purpose(3), persons)).astype(np.int64) - 1
        return np.where(self.guest(persons), 0, rank)

    def categories(self, persons: Numbers) -> Codes:
        """Return positions in CATEGORIES. Guests are visitors."""
        category = np.searchsorted(_CATEGORY_SHARES[:-1], fractions(self.purpose(4), persons), "right")
        return np.where(self.guest(persons), 0, category)

    def staff(self, persons: Numbers) -> Which:
        """Return who is of the excluded category."""
        return np.asarray(self.categories(persons) == CATEGORIES.index(EXCLUDED))

    def outlets(self, persons: Numbers) -> Codes:
        """Return positions in OUTLETS."""
        return np.floor(len(OUTLETS) ** fractions(self.purpose(5), persons)).astype(np.int64) - 1

    def networks(self, persons: Numbers) -> Codes:
        """Return positions in NETWORKS."""
        return (fractions(self.purpose(6), persons) < 0.004).astype(np.int64)

    def agents(self, persons: Numbers) -> Codes:
        """Return positions in AGENTS."""
        return np.searchsorted((0.5, 0.9), fractions(self.purpose(7), persons), "right")

    def background(self, persons: Numbers) -> Which:
        """Return whose player is always in the background."""
        return np.asarray(fractions(self.purpose(8), persons) < 0.08)
