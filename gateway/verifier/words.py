"""The words of certificates: the statements and definitions that a certificate of each version repeats verbatim.

Who checks a certificate without this software must know them, so they are data (`words.json`, docs/formats.md): made
here from the sentences that certificates are written with. What stands in braces is filled in: numbers of the event,
those of thousands with commas, and in `interim` the end of the last window in the log.
"""

from datetime import UTC, datetime
from typing import Any, Final

from counters.apart import STATEMENT as APART
from counters.bounds import STATEMENT as BOUNDS
from counters.certificate import ALIASES_STATEMENT, VERSIONS
from counters.certificate_statements import (
    INTERIM,
    KEYS_ADDED,
    KEYS_RETIRED,
    NAMED_WITNESSES,
    NO_WITNESS,
    REQUIRED_WITNESSES,
    RESTORED,
    SIMULATED,
    stated_by_log,
)
from counters.cross_check import STATEMENT as CROSS_CHECK
from counters.event import Counting, Event, Issuer, Session
from counters.invalid_traffic import REASONS
from counters.log_entries import SealedLog
from counters.rule_ids import KNOWN_RULES
from counters.waterfall import REVOKED
from counters.waterfall import STATEMENT as WATERFALL

_BELOW: Final = 987
"""A threshold that no sentence holds otherwise."""
_EVENT: Final = Event(
    id="words", name="Words", organiser="", time_zone="UTC", late_until=datetime(2023, 11, 21, tzinfo=UTC),
    sessions=(Session(1, "only", "Only", datetime(2023, 11, 19, tzinfo=UTC), datetime(2023, 11, 20, tzinfo=UTC), ()),),
    issuers=(Issuer("i", "https://i.example", "a", "n", "sub", "", ("Ed25519",), {}, development=False, keys=()),),
    counting=Counting(KNOWN_RULES, (), _BELOW),
)  # fmt: skip


def words() -> dict[str, dict[str, Any]]:
    """Return the words by version of the certificate, as JSON has them."""
    return {str(version): _words_of(version) for version in VERSIONS}


def _words_of(version: int) -> dict[str, Any]:
    stated = stated_by_log(SealedLog(_EVENT, "", ()), version)
    since_3 = {
        "interim": INTERIM.replace(":,}", "}"),
        "silence_timeout": stated["settings"]["silence_timeout"],
        "time_shift": stated["settings"]["time_shift"],
        "identity_key": stated["identity"]["identity_key"]["statement"],
        "waterfall": WATERFALL,
        "revoked": REVOKED,
        "flagged": [{"reason": one.id, "kind": one.kind, "definition": one.definition} for one in REASONS],
        "apart": APART,
        "gap_bounds": BOUNDS,
    } if version > 2 else {}  # fmt: skip
    return since_3 | {
        "simulated": SIMULATED,
        "restored": RESTORED,
        "identity": stated["identity"]["statement"],
        "guests": stated["identity"]["guests"],
        "keys_added": KEYS_ADDED.replace(":,}", "}"),
        "keys_retired": KEYS_RETIRED.replace(":,}", "}"),
        "silence": stated["settings"]["silence"],
        "pause": stated["settings"]["pause"],
        "onsite": stated["settings"]["onsite"],
        "suppression": stated["suppression"]["statement"].replace(str(_BELOW), "{below}"),
        "no_witness": NO_WITNESS,
        "named_witnesses": NAMED_WITNESSES + NO_WITNESS,
        "required_witnesses": REQUIRED_WITNESSES,
        "aliases": ALIASES_STATEMENT,
        "cross_check": CROSS_CHECK,
        "rules": stated["rules"],
    }
