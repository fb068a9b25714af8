"""The name and version that Turnout writes into leaves, manifests and certificates."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("turnout")
SOFTWARE: Final = f"turnout {VERSION}"
