"""The evidence: each file by its digest, each leaf built again from its segments, the certificate from all of it."""

from typing import Any

from counters.certificate import assemble, read_certificate
from counters.checks.leaves import named
from counters.checks.verification import NEEDS_EVIDENCE, FailedError, OpenError, Verification
from counters.corrections import own_correction
from counters.evidence_store import EvidenceStore
from counters.keys_of_joins import KeysOfJoins
from counters.reckoning import reckon
from counters.steering import replay


def evidence(state: Verification) -> str:
    """The evidence gives every leaf, and the certificate byte for byte."""
    given = state.given
    if given.evidence_dir is None:
        raise OpenError(NEEDS_EVIDENCE)
    log, document = state.the_log(), state.the_document()
    store, read = EvidenceStore(given.evidence_dir), set[str]()

    def get(digest: str) -> bytes:
        read.add(digest)
        return store.get(digest)

    replay(log.event, log.steering, get)
    keys = KeysOfJoins(log)
    reckoning = reckon(log, store.read, rebuild=True, progress=given.progress, beside=keys.take)
    state.keys_of_joins = keys
    rebuilt = assemble(
        log, reckoning, document["log"], document["issued_at"], document["software"], document["version"],
        own_correction(document),
    )  # fmt: skip
    state.evidence_read = read | reckoning.files
    if rebuilt != given.certificate:
        raise FailedError(_first_difference(document, read_certificate(rebuilt)))
    return (
        f"{len(log.leaves)} leaves rebuilt from their segments; all {len(document['numbers'])} numbers and the "
        "rest of the certificate come out the same"
    )


def _first_difference(ours: dict[str, Any], rebuilt: dict[str, Any]) -> str:
    """Name the first number, else the first member, that differs between a certificate and its rebuilding."""
    if isinstance(ours.get("numbers"), list):
        for stated, expected in zip(ours["numbers"], rebuilt["numbers"], strict=False):
            if stated != expected:
                row = stated if isinstance(stated, dict) else {}
                differing = sorted(key for key in expected.keys() | row.keys() if row.get(key) != expected.get(key))
                key = "value" if "value" in differing else differing[0]
                return f"{named(expected)}: {key} is {row.get(key)!r}, the evidence gives {expected.get(key)!r}"
    for name in sorted(ours.keys() | rebuilt.keys()):
        if ours.get(name) != rebuilt.get(name):
            return f"the certificate's {name!r} is not what the evidence gives"
    return "the certificate is not what the evidence gives"
