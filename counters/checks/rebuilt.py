"""The evidence: each file by its digest, each leaf built again from its segments, the certificate from all of it."""

from collections.abc import Iterator
from typing import Any

from counters.certificate import assemble, read_certificate
from counters.checks.leaves import named
from counters.checks.verification import NEEDS_EVIDENCE, FailedError, OpenError, Verification
from counters.corrections import own_correction
from counters.evidence import SessionPresence
from counters.evidence_store import EvidenceStore
from counters.log_entries import SealedLog, WindowLeaf
from counters.sealed_evidence import LeafEvidence, read_evidence_of
from counters.segment import WINDOW_S
from counters.steering import replay
from counters.window_leaf import ExclusionsSoFar, build_leaf


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
    rebuilt = assemble(
        log, _leaf_by_leaf(state, log, read_evidence_of(log, get)), document["log"], document["issued_at"],
        document["software"], document["version"], own_correction(document),
    )  # fmt: skip
    state.evidence_read = read
    if rebuilt != given.certificate:
        raise FailedError(_first_difference(document, read_certificate(rebuilt)))
    return (
        f"{len(log.leaves)} leaves rebuilt from their segments; all {len(document['numbers'])} numbers and the "
        "rest of the certificate come out the same"
    )


def _leaf_by_leaf(state: Verification, log: SealedLog, evidence: Iterator[LeafEvidence]) -> Iterator[LeafEvidence]:
    """Pass on the evidence of each leaf, having rebuilt the leaf from it."""
    exclusions = ExclusionsSoFar(log.event)
    before_window, before = -1, dict[int, SessionPresence]()
    for done, item in enumerate(evidence, start=1):
        exclusions.add(item.journals)
        if isinstance(item.leaf, WindowLeaf):
            window = item.leaf.window
            rebuilt = build_leaf(
                log.event,
                window,
                [*item.presence, *item.journals],
                before if before_window == window - WINDOW_S else {},
                exclusions.excluded,
                item.manifest,
                merged=item.merged,
            )
            if rebuilt != item.leaf.raw:
                raise FailedError(f"entry {item.leaf.index}, {log.event.iso(window)}: its evidence gives another leaf")
            before_window, before = window, dict(item.merged)
        yield item
        if state.given.progress is not None:
            state.given.progress(done, len(log.leaves))


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
