"""What an organiser opens to an auditor of a draw: one file of JSON, for nobody else, since it holds tickets.

    type, version     "roll-opening", 1
    event_sha256      of the event
    log               origin and vkey of its log
    draw              the entry of the draw, which names the roll
    roll_proof        the roll's tlog-proof as it was first shown (text), or null
    leaves            base64 of rows of 92 bytes: position u32 little-endian, leaf 88 bytes; ascending
    hashes            base64 of the hashes, 32 bytes each, that prove these leaves in the roll (counters.pruned_tree)
    tokens            {position: ticket}: the compact JWT behind each drawn leaf; absent where there is none

Of each drawn leaf its *signposts* are opened as well: the leaves that a search for its pseudonym passes. A search in a
roll of n leaves goes as the tree is split (RFC 6962): over the leaves start … end − 1, split at s, it goes right if
leaf s is not above what is sought, else left. A leaf is in its place if the search for its pseudonym ends at it: if
each signpost left of it is below it, and each right of it is above.

Two leaves that are both in their places have different pseudonyms, ascending: where their paths part, at a split s, the
left one is below leaf s and the right one is not. So the leaves in their places are that many different people, however
the rest of the roll is arranged, and a draw bounds the others as it bounds any bogus leaf. Neighbours would not show
that: in a roll that is one ascending list twice over, each leaf but one is between its neighbours.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from counters.ledger.merkle import HASH_BYTES
from counters.ledger.note import encode_base64
from counters.pruned_tree import prune, split
from counters.roll_leaf import LEAF_BYTES
from counters.roll_tree import RollTree

TYPE, VERSION = "roll-opening", 1
_ROW: Final = np.dtype([("position", "<u4"), ("leaf", f"V{LEAF_BYTES}")])


class OpeningError(ValueError):
    """This is no opening of a draw."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What was opened. Nothing in it is believed yet."""

    event_sha256: str
    origin: str  # of the log
    vkey: str
    draw: int  # entry of the log
    roll_proof: bytes | None
    leaves: Mapping[int, bytes]  # by position
    hashes: Sequence[bytes]
    tokens: Mapping[int, bytes]  # compact JWTs by position

    def encode(self) -> bytes:
        """Return the file."""
        rows = np.empty(len(self.leaves), _ROW)
        for number, position in enumerate(sorted(self.leaves)):
            rows[number] = position, self.leaves[position]
        document = {
            "type": TYPE,
            "version": VERSION,
            "event_sha256": self.event_sha256,
            "log": {"origin": self.origin, "vkey": self.vkey},
            "draw": self.draw,
            "roll_proof": None if self.roll_proof is None else self.roll_proof.decode(),
            "leaves": encode_base64(rows.tobytes()),
            "hashes": encode_base64(b"".join(self.hashes)),
            "tokens": {str(position): token.decode() for position, token in sorted(self.tokens.items())},
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> "Opening":
        """Return what a file opens.

        Raises:
            OpeningError: it is malformed.
        """
        try:
            said = json.loads(data)
            if (said["type"], said["version"]) != (TYPE, VERSION):
                raise OpeningError("this is no opening of a draw that this software knows")
            rows = np.frombuffer(base64.b64decode(said["leaves"], validate=True), _ROW)
            hashes = base64.b64decode(said["hashes"], validate=True)
            proof = said["roll_proof"]
            opening = cls(
                event_sha256=str(said["event_sha256"]),
                origin=str(said["log"]["origin"]),
                vkey=str(said["log"]["vkey"]),
                draw=int(said["draw"]),
                roll_proof=None if proof is None else str(proof).encode(),
                leaves=dict(rows.tolist()),
                hashes=[hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)],
                tokens={int(position): str(token).encode() for position, token in said["tokens"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
            raise OpeningError(f"this is no opening of a draw: {error!r}") from None
        if len(opening.leaves) != len(rows) or len(hashes) % HASH_BYTES:
            raise OpeningError("a leaf is opened twice, or a hash is cut short")
        return opening


def signposts(position: int, size: int) -> Iterator[int]:
    """Yield the positions that a search passes on its way to one, from the root."""
    start, end = 0, size
    while end - start > 1:
        middle = split(start, end)
        yield middle
        start, end = (middle, end) if position >= middle else (start, middle)


def open_leaves(tree: RollTree, drawn: Iterable[int]) -> tuple[dict[int, bytes], list[bytes]]:
    """Return the drawn leaves with their signposts, by position, and the hashes that prove them."""
    positions = sorted({each for position in drawn for each in (position, *signposts(position, tree.size))})
    return {position: tree.leaf(position) for position in positions}, prune(tree.size, positions, tree.subtree)


def misplaced(position: int, size: int, leaves: Mapping[int, bytes]) -> str:
    """Return in words why a leaf is not in its place; "" if it is.

    Raises:
        KeyError: one of its signposts is not opened.
    """
    sought = leaves[position][:16]
    for post in signposts(position, size):
        name = leaves[post][:16]
        if post == position:
            continue
        if name == sought:
            return f"the same attendee has leaf {post} as well"
        if (name > sought) != (post > position):
            return f"it is out of order with leaf {post}: a search for its attendee does not find it"
    return ""
