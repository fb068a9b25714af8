"""Forgetting one person: which tokens are theirs, found by pseudonym in the journals.

What is sealed stays as it is: taking a seat or a journal row out of the evidence would change a certified count. What
can go are the tokens, which say who it was, and the registry's entry. Without the pseudonym key nobody can tell whose
the rest is.
"""

from collections.abc import Iterable

import numpy as np

from counters.journal import JoinKind
from counters.journal_segment import JournalSegment


def tokens_of(name: bytes, journals: Iterable[JournalSegment]) -> set[bytes]:
    """Return the digests (SHA-256) of every token that somebody (16-byte pseudonym) has joined or been scanned with."""
    digests: set[bytes] = set()
    for journal in journals:
        joins = journal.joins[journal.joins["kind"] != JoinKind.VIEWING_TOKEN]
        theirs = joins[joins["pseudonym"] == np.void(name)]
        digests.update(theirs["token_digest"].tolist())
    return digests
