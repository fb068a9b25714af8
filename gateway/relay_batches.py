"""Relay batches: thousands of heartbeats in one body, from an edge or CDN worker that collects them (docs/relays.md).

A batch has the outcome that its lines would have had one after the other in `Heartbeats.beat`: the same records in the
same order, the same registers, the same cells, the same refusal for each line. What makes it cheap is that numpy does
for the whole batch at once what `beat` does for one heartbeat; only the MAC is computed token by token. A line that
does not look like a heartbeat at all takes no part in that: it goes to `beat` itself, which knows why to refuse it.

Nothing here awaits, so a batch costs the heartbeats beside it no more than LINES takes to work through.
"""

import hashlib
from binascii import a2b_base64
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus
from string import ascii_letters, digits
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from counters.cells import Cells
from counters.tally import Accepted, Tally
from gateway.heartbeats import BODY_BYTES, REFUSALS, STATES, Heartbeats
from gateway.reasons import Reason
from gateway.viewing_token import MAC_BYTES, SIGNED_BYTES, TEXT_BYTES, TO_STANDARD, TokenKeys

LINES: Final = 4096
"""So many take 3 ms of the worker's loop, in which no other heartbeat is answered; made of nothing but lines that are
almost tokens, the dearest to refuse, 10 ms."""
BATCH_BYTES: Final = LINES * (BODY_BYTES[1] + 1)
"""The longest body: every line a token with its state and a newline."""
FEW: Final = 16
"""So few lines cost less one by one: numpy takes some 90 µs for a batch, however short."""

_TOKEN: Final = np.dtype(
    {
        "names": ["signed", "prefix", "place", "seat", "attendee", "view", "view_id", "expires_at", "mac"],
        "formats": [f"V{SIGNED_BYTES}", "<u4", "<u8", "<u4", "<u4", "<u4", "<u8", "<u4", f"V{MAC_BYTES}"],
        "offsets": [0, 0, 4, 4, 12, 16, 20, 28, SIGNED_BYTES],
        "itemsize": SIGNED_BYTES + MAC_BYTES,
    }
)
"""A viewing token as gateway.viewing_token has it; `signed` and `place` overlap the fields that they consist of."""
_CODES: Final[dict[Reason | None, int]] = {reason: code for code, reason in enumerate((None, *REFUSALS))}
"""A line's outcome as one byte: 0 is accepted."""
_LABELS: Final = ("", *(reason.label for reason in REFUSALS))
_NOT_ACCEPTED: Final = np.zeros(len(Accepted), np.uint8)
_NOT_ACCEPTED[Accepted.NO_SUCH_SESSION] = _CODES[Reason.SESSION_UNKNOWN]
_NOT_ACCEPTED[Accepted.DISK_FULL] = _CODES[Reason.DISK_FULL]
_NEWLINE, _SPACE = b"\n "
_PLAYING, _BACKGROUND = b"pb"
_IS_NO_STATE: Final = np.array([chr(letter) not in STATES for letter in range(256)])
_STRANGE: Final = bytes(chr(character) not in ascii_letters + digits + "-_" for character in range(256))
"""Translates what is not base64url to 1, and the rest to 0."""

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Tokens = npt.NDArray[np.void]


@dataclass(slots=True)
class _Batch:
    """A batch that is being taken: what has become of its lines, and those that are not refused so far, in order."""

    codes: Bytes  # of every line
    lines: Places  # the lines that are not refused so far …
    tokens: Tokens  # … what they say …
    states: Bytes  # … and their state letters

    def refuse(self, codes: Bytes) -> None:
        """Refuse those of the lines so far whose code says why."""
        if codes.any():
            self.codes[self.lines] = codes
            good = codes == 0
            self.lines, self.states = self.lines[good], self.states[good]
            # As bytes: numpy copies a structure field by field.
            self.tokens = self.tokens.view(f"V{_TOKEN.itemsize}")[good].view(_TOKEN)

    def refuse_where(self, bad: Mask, reason: Reason) -> None:
        """Refuse some of the lines so far, all for one reason."""
        if bad.any():
            self.refuse(bad * np.uint8(_CODES[reason]))


class RelayBatches:
    """Takes the relay batches of one worker."""

    def __init__(self, keys: TokenKeys, tally: Tally, cells: Cells, heartbeats: Heartbeats) -> None:
        """Answer for one event, beside `heartbeats`, which takes those that come singly."""
        self._keys = keys
        self._record = tally.beat_many
        self._heartbeats = heartbeats
        self._counts = cells.values
        self._cell_of_state = {ord(letter): cells.index(f"beat.{state}") for letter, state in STATES.items()}
        self._cell_of_code = {_CODES[reason]: cells.index(f"refused.beat.{reason.label}") for reason in REFUSALS}
        self._hashers = {
            prefix: hashlib.blake2b(key=key, digest_size=MAC_BYTES) for prefix, key in keys.by_prefix.items()
        }
        self._revoked: frozenset[int] = frozenset()
        self._revoked_ascending = np.empty(0, np.uint64)

    def take(self, body: bytes) -> tuple[int, bytes]:
        """Take a batch: every line of it is recorded, noted or refused when this returns.

        Returns:
            The HTTP status and the body of the answer: 200 with `{"accepted": n, "refused": [{"line", "reason"}, …]}`,
            lines counted from 0; else problem details, and nothing of the batch was accepted.
        """
        if not body:
            return self.refuse(Reason.BODY_MALFORMED)
        lines = body.count(b"\n") + (body[-1] != _NEWLINE)
        if lines > LINES or len(body) > BATCH_BYTES:
            return self.refuse(Reason.BODY_TOO_LARGE)
        codes = self._take_one_by_one(body) if lines <= FEW else self._take_together(body)
        refused = np.flatnonzero(codes)
        if len(refused) == len(codes) and (codes == _CODES[Reason.DISK_FULL]).any():
            # A status makes whoever sent this wait; and nothing is lost by sending all of it again.
            return _problem(Reason.DISK_FULL)
        refusals = [
            {"line": line, "reason": _LABELS[code]}
            for line, code in zip(refused.tolist(), codes[refused].tolist(), strict=True)
        ]
        return HTTPStatus.OK, orjson.dumps({"accepted": len(codes) - len(refused), "refused": refusals})

    def refuse(self, reason: Reason) -> tuple[int, bytes]:
        """Count the refusal of a batch as a whole, and return its answer."""
        return _problem(self._heartbeats.refuse(reason))

    def _take_one_by_one(self, body: bytes) -> Bytes:
        beat = self._heartbeats.beat
        return np.array([_CODES[beat(line)] for line in body.removesuffix(b"\n").split(b"\n")], np.uint8)

    def _take_together(self, body: bytes) -> Bytes:
        starts, ends = _lines(body)
        batch, irregular = _read(body, starts, ends)
        self._check(batch)
        self._accept(batch)
        self._count(batch)
        for line in irregular.tolist():
            batch.codes[line] = _CODES[self._heartbeats.beat(body[starts[line] : ends[line]])]
        return batch.codes

    def _check(self, batch: _Batch) -> None:
        """Refuse what `Heartbeats.beat` refuses of a token and a state, for the same reasons in the same order."""
        self._check_prefixes(batch)
        batch.refuse_where(self._are_forged(batch.tokens), Reason.TOKEN_FORGED)
        batch.refuse_where(batch.tokens["expires_at"] < self._heartbeats.now_s, Reason.TOKEN_EXPIRED)
        if self._heartbeats.revoked:
            batch.refuse_where(self._are_revoked(batch.tokens), Reason.TOKEN_REVOKED)
        batch.refuse_where(_IS_NO_STATE[batch.states], Reason.STATE_UNKNOWN)

    def _check_prefixes(self, batch: _Batch) -> None:
        prefixes = batch.tokens["prefix"]
        ours = np.zeros(len(prefixes), np.bool_)
        for prefix in self._hashers:
            ours |= prefixes == prefix
        if not ours.all():
            kinds, of_each = np.unique(prefixes, return_inverse=True)
            refusals = [None if kind in self._hashers else self._keys.refusal(kind) for kind in kinds.tolist()]
            batch.refuse(np.array([_CODES[refusal] for refusal in refusals], np.uint8)[of_each])

    def _are_forged(self, tokens: Tokens) -> Mask:
        forged = np.zeros(len(tokens), np.bool_)
        for prefix, hasher in self._hashers.items():
            of_key = np.flatnonzero(tokens["prefix"] == prefix)
            shown = tokens["mac"][of_key]
            macs = _macs(hasher, tokens["signed"][of_key].tolist())
            if not compare_digest(b"".join(macs), shown.tobytes()):
                forged[of_key] = [not compare_digest(*pair) for pair in zip(macs, shown.tolist(), strict=True)]
        return forged

    def _are_revoked(self, tokens: Tokens) -> Mask:
        if self._revoked is not self._heartbeats.revoked:
            self._revoked = self._heartbeats.revoked
            self._revoked_ascending = np.array(sorted(self._revoked), np.uint64)
        ascending = self._revoked_ascending
        revoked = np.zeros(len(tokens), np.bool_)
        for field in ("seat", "view_id"):
            ids = tokens[field].astype(np.uint64)
            revoked |= ascending.take(np.searchsorted(ascending, ids), mode="clip") == ids
        return revoked

    def _accept(self, batch: _Batch) -> None:
        """Record the playing ones."""
        background = batch.states == _BACKGROUND
        playing = np.flatnonzero(background | (batch.states == _PLAYING))
        place, attendee, view = (batch.tokens[field][playing] for field in ("place", "attendee", "view"))
        accepted = self._record(place, attendee, view, background[playing])
        codes = np.zeros(len(batch.lines), np.uint8)
        codes[playing] = _NOT_ACCEPTED[accepted]
        batch.refuse(codes)

    def _count(self, batch: _Batch) -> None:
        """Count what is decided by now: the lines that `Heartbeats.beat` gets are counted there."""
        of_letter = np.bincount(batch.states, minlength=256)
        for letter, cell in self._cell_of_state.items():
            self._counts[cell] += int(of_letter[letter])
        if len(batch.lines) < len(batch.codes):
            for code, lines in enumerate(np.bincount(batch.codes).tolist()):
                if code and lines:
                    self._counts[self._cell_of_code[code]] += lines


def _lines(body: bytes) -> tuple[Places, Places]:
    """Return where each line starts and ends; a newline at the end of the body begins no further line."""
    newlines = np.flatnonzero(np.frombuffer(body, np.uint8) == _NEWLINE)
    ends = newlines if body[-1] == _NEWLINE else np.append(newlines, len(body))
    return np.append(0, ends[:-1] + 1), ends


def _read(body: bytes, starts: Places, ends: Places) -> tuple[_Batch, Places]:
    """Return a batch with all lines that are 64 characters of base64url and perhaps a state; and the other lines."""
    characters = np.frombuffer(body, np.uint8)
    lengths = ends - starts
    states = np.full(len(starts), _PLAYING, np.uint8)
    with_state = np.flatnonzero(lengths == BODY_BYTES[1])
    with_state = with_state[characters[starts[with_state] + TEXT_BYTES] == _SPACE]
    states[with_state] = characters[starts[with_state] + TEXT_BYTES + 1]
    regular = lengths == TEXT_BYTES
    regular[with_state] = True
    lines = np.flatnonzero(regular)
    texts = _texts(body, starts[lines])
    raw = _decoded(texts)
    if len(raw) != len(lines) * _TOKEN.itemsize:
        # Somewhere there is a character that is not base64url. Only the tokens that have one leave.
        strange = np.frombuffer(texts.translate(_STRANGE), np.uint64).reshape(len(lines), -1)
        readable = ~strange.any(axis=1)
        regular[lines[~readable]] = False
        lines = lines[readable]
        raw = _decoded(_texts(body, starts[lines]))
    tokens = np.frombuffer(raw, _TOKEN)
    return _Batch(np.zeros(len(starts), np.uint8), lines, tokens, states[lines]), np.flatnonzero(~regular)


def _texts(body: bytes, starts: Places) -> bytes:
    """Return the 64 characters from each start on, joined."""
    if not len(starts):
        return b""
    # Every place of the body as the start of 64 characters: a view, of which only what is asked for is copied.
    everywhere = np.ndarray((len(body) - TEXT_BYTES + 1,), f"V{TEXT_BYTES}", body, strides=(1,))
    return everywhere[starts].tobytes()


def _decoded(texts: bytes) -> bytes:
    """Return the bytes of base64url texts: three for every four characters if and only if all are base64url.

    Strict decoding would say so itself, and take twice as long.
    """
    try:
        return a2b_base64(texts.translate(TO_STANDARD))
    except ValueError:
        return b""


def _macs(hasher: hashlib.blake2b, signed: list[bytes]) -> list[bytes]:
    """Return the MAC of each. Copying a hasher that has its key already is quicker than giving the key to a new one."""
    keyed = hasher.copy
    macs = []
    for part in signed:
        mac = keyed()
        mac.update(part)
        macs.append(mac.digest())
    return macs


def _problem(reason: Reason) -> tuple[int, bytes]:
    return reason.status, orjson.dumps(reason.problem())
