"""What a number's scope may be narrowed to: apart from the numbers, so that whoever names it loads nothing else."""

from typing import Final

SMALL_SCOPES: Final = frozenset(("session", "day", "country", "category", "outlet", "assurance"))
"""A cell of one of these can be so small that it is withheld."""
