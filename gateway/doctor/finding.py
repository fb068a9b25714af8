"""What a check found: whether it is well, why, and what to do."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it runs; somebody should look at it before the doors open
    FAIL = "fail"  # it will not do what it should
    UNKNOWN = "could not check"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    verdict: Verdict
    detail: str
    fix: str = ""  # what to do, as a sentence; "" where all is well


def ok(check: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, detail)


def warn(check: str, detail: str, fix: str) -> Finding:
    """Return that something is odd."""
    return Finding(check, Verdict.WARN, detail, fix)


def fail(check: str, detail: str, fix: str) -> Finding:
    """Return that something has to be mended."""
    return Finding(check, Verdict.FAIL, detail, fix)


def unknown(check: str, detail: str, fix: str) -> Finding:
    """Return that it could not be found out, and what would help."""
    return Finding(check, Verdict.UNKNOWN, detail, fix)
