"""What is wrong with an event file: problems as they are found, and the errors that say all of them at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an event file."""

    key: str  # as it is found in the file, e.g. "session[3].ends_at"; tables are counted from 1
    meaning: str  # what the key is for; "" where there is no such key
    wrong: str
    fix: str

    def __str__(self) -> str:
        meaning = f" ({self.meaning})" if self.meaning else ""
        return f"{self.key}{meaning}: {self.wrong}. {self.fix}"


@dataclass(frozen=True, slots=True)
class MissingKeys:
    """The keys that a development issuer does not have yet."""

    issuer_id: str
    jwks: Path  # where the public keys are to be written
    algorithms: tuple[str, ...]


class EventFileError(Exception):
    """An event file (or a sealed one, from leaf 0) that cannot be used; `problems` lists all that was found."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        super().__init__("\n  ".join([f"{source} has {count} (tables are counted from 1):", *map(str, self.problems)]))


class MissingDevelopmentKeys(EventFileError):  # noqa: N818 - it names what is missing, which `turnout up` then creates
    """The event file is sound but for the keys of development issuers, listed in `missing`."""

    def __init__(self, source: str, problems: Iterable[Problem], missing: Iterable[MissingKeys]) -> None:
        super().__init__(source, problems)
        self.missing = tuple(missing)


class Findings:
    """What is wrong so far with one file. It owns that list; whoever checks adds to it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.missing: list[MissingKeys] = []

    def add(self, key: str, meaning: str, wrong: str, fix: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(key, meaning, wrong, fix))

    def raise_if_any(self, source: str) -> None:
        """Raise everything found.

        Raises:
            MissingDevelopmentKeys: nothing is wrong but the absence of development issuers' keys.
            EventFileError: anything else is wrong.
        """
        if self.problems and len(self.problems) == len(self.missing):
            raise MissingDevelopmentKeys(source, self.problems, self.missing)
        if self.problems:
            raise EventFileError(source, self.problems)
