"""Programs that a test runs for real: without one it is skipped, or fails where nothing may be missing."""

import os
import shutil

import pytest


def needed(name: str) -> str:
    """Return a program's path."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not on the PATH")
    return found or ""


def absent(reason: str) -> None:
    """Skip the test, or fail it if TURNOUT_REQUIRE_ALL=1."""
    if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
