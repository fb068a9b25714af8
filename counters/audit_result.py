"""What an auditor found, signed: a C2SP signed note under the auditor's own Ed25519 key.

    turnout roll audit v1
    <canonical JSON: bogus, bogus_at_most, confidence_percent, draw, drawn, event_sha256, order_witnessed, root, size>

    — <auditor> <base64 of key id and signature>

`bogus` of `drawn` opened leaves were bogus; `bogus_at_most` is the bound on all `size` of them (counters.bogus_bound)
and must be that of the other figures. `order_witnessed` says whether outside witnesses cosigned the roll before the
beacon's round; without them that order rests on the operator's word, and on a simulated clock nobody can say. A note is
worth what its key is: whoever reads it has to know whose that is.
"""

from dataclasses import asdict, dataclass
from typing import Final

from counters import canonical_json
from counters.bogus_bound import CONFIDENCE_PERCENT, DRAWN_LIMIT, bogus_at_most
from counters.ledger.note import NoteError, Signer, Verifier, decode_base64, encode_base64, open_note, sign_note
from counters.segment import is_count

TITLE: Final = "turnout roll audit v1"
SIZE_LIMIT: Final = 1 << 32
"""Seats are 32 bits; the bound of a hostile size would take for ever."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The result of one draw."""

    event_sha256: str
    draw: int  # its entry in the log
    root: bytes  # of the roll
    size: int
    drawn: int
    bogus: int
    order_witnessed: bool

    @property
    def bogus_at_most(self) -> int:
        """How many entries of the roll can be bogus."""
        return bogus_at_most(self.size, self.drawn, self.bogus)


def _text(result: AuditResult) -> str:
    members = asdict(result) | {
        "root": encode_base64(result.root),
        "bogus_at_most": result.bogus_at_most,
        "confidence_percent": CONFIDENCE_PERCENT,
    }
    return f"{TITLE}\n{canonical_json.encode(members).decode()}\n"


def sign_result(result: AuditResult, signer: Signer) -> bytes:
    """Return the signed note of a result."""
    return sign_note(_text(result), [signer])


def read_result(note: bytes, vkey: str) -> AuditResult:
    """Return the result in a note that this key has signed.

    Raises:
        NoteError: it has not, or what it has signed is no result, or one whose bound is not that of its figures.
    """
    text = open_note(note, [Verifier.decode(vkey)]).text
    title, _, body = text.partition("\n")
    if title != TITLE:
        raise NoteError(f"the result of an audit begins with the line {TITLE!r}")
    try:
        said = canonical_json.decode(body.removesuffix("\n").encode())
        figures = (said["draw"], said["size"], said["drawn"], said["bogus"])
        if not all(is_count(figure) for figure in figures) or type(said["order_witnessed"]) is not bool:
            raise NoteError("a figure of the audit's result is no whole number")
        if not said["bogus"] <= said["drawn"] <= min(said["size"], DRAWN_LIMIT) or said["size"] > SIZE_LIMIT:
            raise NoteError("the audit's result counts more than there is")
        result = AuditResult(
            str(said["event_sha256"]), said["draw"], decode_base64(str(said["root"])), said["size"], said["drawn"],
            said["bogus"], said["order_witnessed"],
        )  # fmt: skip
    except (canonical_json.CanonicalJsonError, KeyError, TypeError) as error:
        raise NoteError(f"this is no result of an audit: {error!r}") from None
    if _text(result) != text:
        raise NoteError("the bound in the audit's result is not that of its figures")
    return result
