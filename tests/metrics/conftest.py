"""One Prometheus that scrapes one small convention, for all tests that ask it something.

Each process of pytest starts its own, so tests that use it belong into one file: test_live_prometheus.py.
"""

from collections.abc import Callable, Iterator

import pytest

from deploy.embedded_redis import ServerProgram
from tests.metrics.live_convention import LiveConvention, live_convention


@pytest.fixture(scope="session")
def live(
    needed: Callable[[str], str],
    redis_program: ServerProgram,  # noqa: ARG001 - it is there
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LiveConvention]:
    """A convention in its first session, watched by players, cosigned by a witness, scraped by Prometheus."""
    needed("prometheus")
    with live_convention(tmp_path_factory.mktemp("live")) as running:
        yield running
