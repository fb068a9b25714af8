"""Fixtures of the ledger's tests."""

import pytest

from counters.ledger.note import Signer


@pytest.fixture(scope="session")
def signer() -> Signer:
    """A log's key, the same in every run."""
    return Signer("log.turnout.example/wiotc2023", bytes(range(32)))
