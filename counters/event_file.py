"""Reading the event file: every problem found in one pass, each with its key, what the key means, and the fix.

The result is a *document*: the checked tables as plain dicts, with the issuers' public keys in place of the name of
their file. counters.event makes values of it. The keys themselves are described in counters.event_keys.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from counters.beacon import DRAND
from counters.event_keys import (
    AUDIT,
    COUNTING,
    EVENT,
    ISSUER,
    LOG,
    REQUIRED,
    RULE,
    SEALED_ISSUER,
    SEALED_WITNESS,
    SESSION,
    SESSIONS_LIMIT,
    SIMULATION,
    TABLES,
    WITNESS,
    WITNESSES_LIMIT,
    Key,
    WrongValueError,
    shown,
)
from counters.issuer_keys import IssuerKeyError, public_key, read_jwks, thumbprint
from counters.spelling import did_you_mean

FILE_LIMIT_BYTES: Final = 1024 * 1024
"""What is canonicalised must fit 60,000 bytes; comments and spaces may take the rest."""
OWN_RULES_LIMIT: Final = 20
"""A certificate that counts in more ways explains none of them."""
ISSUERS_LIMIT: Final = 100
"""Far above the ticket shops and identity providers of any event."""

_ABSENT: Final = object()


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


def read(path: Path) -> dict[str, Any]:
    """Return the document of an event file.

    Raises:
        EventFileError: with every problem that was found.
    """
    findings = Findings()
    tables: dict[str, Any] = {}
    try:
        raw = path.read_bytes()
        if len(raw) > FILE_LIMIT_BYTES:
            findings.add("file", "", f"it has {len(raw)} bytes", f"Keep it under {FILE_LIMIT_BYTES}.")
        else:
            tables = tomllib.loads(raw.decode())
    except OSError as error:
        findings.add("file", "", f"it cannot be read ({error.strerror})", "Name an event file (docs/event-file.md).")
    except (ValueError, RecursionError) as error:
        findings.add("file", "", f"it is not TOML ({error})", "Correct that place; docs/event-file.md has an example.")
    findings.raise_if_any(path.name)
    return check(
        tables, path.name, lambda issuer, where: _keys_from_file(issuer, path.parent, where, findings), findings
    )


def check_sealed(tables: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the document of tables whose issuers hold their `keys`, as the ledger's leaf 0 does.

    Raises:
        EventFileError: with every problem that was found.
    """
    findings = Findings()

    def keys_of(issuer: dict[str, Any], where: str) -> list[dict[str, str]]:
        if "keys" not in issuer:
            return []  # already a problem
        return _checked_keys(issuer.pop("keys"), issuer, f"{where}.keys", findings)

    return check(tables, source, keys_of, findings, issuer_keys=SEALED_ISSUER, witness_keys=SEALED_WITNESS)


def check(
    tables: Mapping[str, Any],
    source: str,
    keys_of: Callable[[dict[str, Any], str], list[dict[str, str]]],
    findings: Findings,
    issuer_keys: tuple[Key, ...] = ISSUER,
    witness_keys: tuple[Key, ...] = WITNESS,
) -> dict[str, Any]:
    """Check all tables, each key by itself and then together.

    Args:
        tables: the file as parsed.
        source: the file's name, for the error.
        keys_of: gives the public keys of a checked issuer table, named by the second argument in problems.
        findings: where problems go.
        issuer_keys: the keys that an issuer's table may have.
        witness_keys: the keys that a witness's table may have.

    Raises:
        EventFileError: with every problem that was found.
    """
    for name in tables.keys() - TABLES.keys():
        findings.add(name, "", "there is no such table", did_you_mean(name, TABLES) + f"Known: {', '.join(TABLES)}.")
    document = _table(tables.get("event", _ABSENT), "event", EVENT, findings)
    sessions = _array(tables.get("session", _ABSENT), "session", SESSION, SESSIONS_LIMIT, findings)
    issuers = _array(tables.get("issuer", _ABSENT), "issuer", issuer_keys, ISSUERS_LIMIT, findings)
    witnesses = []
    if "witness" in tables:
        witnesses = _array(tables["witness"], "witness", witness_keys, WITNESSES_LIMIT, findings)
    rules = _array(tables["rule"], "rule", RULE, OWN_RULES_LIMIT, findings) if "rule" in tables else []
    log = _table(tables.get("log", {}), "log", LOG, findings)
    document["counting"] = _table(tables.get("counting", {}), "counting", COUNTING, findings)
    audit = tables.get("audit")
    document["audit"] = None if audit is None else _table(audit, "audit", AUDIT, findings)
    simulation = tables.get("simulation")
    document["simulation"] = None if simulation is None else _table(simulation, "simulation", SIMULATION, findings)
    for index, issuer in enumerate(issuers, 1):
        issuer["keys"] = keys_of(issuer, f"issuer[{index}]")
    _check_sessions(sessions, findings)
    _check_gates(sessions, findings)
    _check_issuers(issuers, findings)
    _check_own_rules(rules, findings)
    _check_witnesses(witnesses, log, findings)
    _check_times(document, sessions, findings)
    _check_audit(document["audit"], document.get("late_until"), findings)
    _check_simulation(document["simulation"], issuers, sessions, findings)
    findings.raise_if_any(source)
    document["sessions"] = sorted(sessions, key=lambda session: int(session["number"]))
    document["issuers"] = issuers
    document["own_rules"] = rules
    document["witnesses"] = witnesses
    document["required_witnesses"] = log["required_witnesses"]
    return document


def _meaning(keys: tuple[Key, ...], name: str) -> str:
    return next(key.meaning for key in keys if key.name == name)


def _table(value: object, where: str, keys: tuple[Key, ...], findings: Findings) -> dict[str, Any]:
    """Return the keys of one table that are sound; what is not becomes a problem and is left out."""
    if not isinstance(value, dict):
        wrong = "the table is missing" if value is _ABSENT else "it is not a table"
        findings.add(where, "", wrong, f"Write [{where}] with {', '.join(key.name for key in keys)}.")
        return {}
    names = [key.name for key in keys]
    for name in value:
        if name == "jwks_url" and "jwks" in names:
            fix = "Save it to a file and name it in jwks."
            findings.add(f"{where}.jwks_url", _meaning(keys, "jwks"), "keys are not fetched from an address", fix)
        elif name not in names:
            fix = did_you_mean(name, names) + f"Known: {', '.join(names)}."
            findings.add(f"{where}.{name}", "", "there is no such key", fix)
    checked: dict[str, Any] = {}
    for key in keys:
        if key.name in value:
            try:
                checked[key.name] = key.check(value[key.name])
            except WrongValueError as error:
                findings.add(f"{where}.{key.name}", key.meaning, error.wrong, error.fix)
        elif key.default is not REQUIRED:
            checked[key.name] = key.default
        elif not (key.name == "jwks" and "jwks_url" in value):
            findings.add(f"{where}.{key.name}", key.meaning, "it is missing", f"Add {key.name} to {where}.")
    return checked


def _array(value: object, name: str, keys: tuple[Key, ...], limit: int, findings: Findings) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        findings.add(name, "", "it is a single table", f"Write [[{name}]] in double brackets, one for each {name}.")
        return []
    if not isinstance(value, list) or not value:
        wrong = "there is none" if value is _ABSENT or value == [] else "it is not an array of tables"
        needed = ", ".join(key.name for key in keys if key.default is REQUIRED)
        findings.add(name, "", wrong, f"Write at least one [[{name}]] with {needed}.")
        return []
    if len(value) > limit:
        findings.add(name, "", f"there are {len(value)}", f"Use at most {limit}.")
        return []
    return [_table(table, f"{name}[{index}]", keys, findings) for index, table in enumerate(value, 1)]


def _unique(tables: list[dict[str, Any]], where: str, name: str, keys: tuple[Key, ...], findings: Findings) -> None:
    first: dict[Any, int] = {}
    for index, table in enumerate(tables, 1):
        value = table.get(name)
        if value is None:
            continue
        if value in first:
            wrong = f"{shown(value)} is already that of {where}[{first[value]}]"
            findings.add(f"{where}[{index}].{name}", _meaning(keys, name), wrong, "Give each its own.")
        first.setdefault(value, index)


def _check_sessions(sessions: list[dict[str, Any]], findings: Findings) -> None:
    _unique(sessions, "session", "number", SESSION, findings)
    _unique(sessions, "session", "id", SESSION, findings)
    for index, session in enumerate(sessions, 1):
        starts_at, ends_at = session.get("starts_at"), session.get("ends_at")
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            wrong = f"{shown(ends_at)} is not after starts_at {shown(starts_at)}"
            findings.add(f"session[{index}].ends_at", _meaning(SESSION, "ends_at"), wrong, "Correct one of the two.")


def _check_gates(sessions: list[dict[str, Any]], findings: Findings) -> None:
    """A scan says only its gate and its time: they must name one session."""
    at_gate: dict[str, list[tuple[Any, Any, int]]] = {}
    for index, session in enumerate(sessions, 1):
        if {"starts_at", "ends_at", "gates"} <= session.keys():
            for gate in session["gates"]:
                at_gate.setdefault(gate, []).append((session["starts_at"], session["ends_at"], index))
    for gate, openings in at_gate.items():
        openings.sort()
        for before, after in pairwise(openings):
            if after[0] < before[1]:
                wrong = f"gate {gate!r} is open for session[{before[2]}] at the same time"
                fix = "A scan must name one session: give each room its own gate."
                findings.add(f"session[{after[2]}].gates", _meaning(SESSION, "gates"), wrong, fix)


def _check_issuers(issuers: list[dict[str, Any]], findings: Findings) -> None:
    _unique(issuers, "issuer", "id", ISSUER, findings)
    _unique(issuers, "issuer", "issuer", ISSUER, findings)


def _check_own_rules(rules: list[dict[str, Any]], findings: Findings) -> None:
    _unique(rules, "rule", "id", RULE, findings)
    for index, rule in enumerate(rules, 1):
        if not {"windows", "percent", "in_schedule"} <= rule.keys():
            continue  # already a problem
        where, windows, percent = f"rule[{index}]", rule["windows"], rule["percent"]
        if (windows is None) == (percent is None):
            wrong = "there is neither windows nor percent" if windows is None else "there are both windows and percent"
            fix = "Say one of the two: how much presence counts."
            findings.add(f"{where}.percent", _meaning(RULE, "percent"), wrong, fix)
        if percent is not None and rule["in_schedule"] is False:
            wrong, fix = "a percentage is of what is scheduled", "Leave it out, or say windows."
            findings.add(f"{where}.in_schedule", _meaning(RULE, "in_schedule"), wrong, fix)
        rule["in_schedule"] = percent is not None or bool(rule["in_schedule"])


def _check_witnesses(witnesses: list[dict[str, Any]], log: dict[str, Any], findings: Findings) -> None:
    _unique(witnesses, "witness", "name", SEALED_WITNESS, findings)
    # One key under two names would count as two witnesses.
    keys = [{"vkey": witness["vkey"].split("+", 2)[2]} if "vkey" in witness else {} for witness in witnesses]
    _unique(keys, "witness", "vkey", SEALED_WITNESS, findings)
    required = log.get("required_witnesses", 0)
    if required > len(witnesses):
        wrong = f"it demands {required} of {len(witnesses)}"
        fix = "Name as many with [[witness]], or demand fewer."
        findings.add("log.required_witnesses", _meaning(LOG, "required_witnesses"), wrong, fix)


def _check_times(document: dict[str, Any], sessions: list[dict[str, Any]], findings: Findings) -> None:
    late_until = document.get("late_until")
    last = max((session["ends_at"] for session in sessions if "ends_at" in session), default=None)
    if late_until is not None and last is not None and late_until <= last:
        wrong = f"{shown(late_until)} is not after the last session's end {shown(last)}"
        findings.add("event.late_until", _meaning(EVENT, "late_until"), wrong, "Leave scanners a day to upload.")


def _check_audit(audit: dict[str, Any] | None, late_until: Any, findings: Findings) -> None:
    """The roll is sealed once nothing more counts; a round before that could be known to whoever makes the roll."""
    if audit is None or not {"beacon", "round", "round_at"} <= audit.keys():
        return
    drand, at = DRAND.get(audit["beacon"]), audit["round_at"]
    if drand is None and at is None:
        fix = f"Add round_at, or use a beacon whose rounds' times are known: {', '.join(DRAND)}."
        wrong = f"it is not known when a round of {shown(audit['beacon'])} happens"
        findings.add("audit.round_at", _meaning(AUDIT, "round_at"), wrong, fix)
        return
    if drand is not None and at is not None:
        fix = "Leave it out: it follows from the round."
        findings.add("audit.round_at", _meaning(AUDIT, "round_at"), "this beacon's rounds have their times", fix)
        return
    happens = at.timestamp() if drand is None else drand.at(audit["round"])
    if late_until is not None and happens <= late_until.timestamp():
        name, wrong = ("round_at", shown(at)) if drand is None else ("round", shown(audit["round"]))
        fix = "Name a round at least some hours after late_until: the roll must be sealed and cosigned before it."
        findings.add(f"audit.{name}", _meaning(AUDIT, name), f"{wrong} is not after late_until", fix)
    until = audit.get("retain_tokens_until")
    if until is not None and until.timestamp() <= happens:
        name, fix = "retain_tokens_until", "Leave as long as the audit may take."
        findings.add(f"audit.{name}", _meaning(AUDIT, name), f"{shown(until)} is not after the beacon's round", fix)


def _check_simulation(
    simulation: dict[str, Any] | None,
    issuers: list[dict[str, Any]],
    sessions: list[dict[str, Any]],
    findings: Findings,
) -> None:
    if simulation is None:
        return
    real = [issuer["id"] for issuer in issuers if issuer.get("development") is False and "id" in issuer]
    if real:
        wrong = f"the issuer {', '.join(real)} is not a development issuer: real tickets under a false clock"
        findings.add(
            "simulation", "a faster or jumping clock", wrong, "Remove [simulation], or use development issuers."
        )
    starts_at = simulation.get("starts_at")
    last = max((session["ends_at"] for session in sessions if "ends_at" in session), default=None)
    if starts_at is not None and last is not None and starts_at >= last:
        wrong = f"{shown(starts_at)} is not before the last session's end {shown(last)}"
        meaning = _meaning(SIMULATION, "starts_at")
        findings.add("simulation.starts_at", meaning, wrong, "Start the clock before the sessions.")


def _keys_from_file(issuer: dict[str, Any], folder: Path, where: str, findings: Findings) -> list[dict[str, str]]:
    named = issuer.pop("jwks", None)
    if named is None:
        return []  # already a problem
    path, where, meaning = folder / named, f"{where}.jwks", _meaning(ISSUER, "jwks")
    try:
        unchecked = read_jwks(path.read_bytes())
    except FileNotFoundError:
        if issuer.get("development") is True and {"id", "algorithms"} <= issuer.keys():
            findings.missing.append(MissingKeys(issuer["id"], path, issuer["algorithms"]))
            findings.add(where, meaning, f"{named} does not exist yet", "`turnout up` creates it.")
        else:
            fix = "Save the issuer's public keys (its JWK set) there. The path is seen from the event file."
            findings.add(where, meaning, f"there is no file {named}", fix)
        return []
    except (OSError, ValueError) as error:
        findings.add(where, meaning, f"{named} cannot be read ({error})", "Name a readable file.")
        return []
    except IssuerKeyError as error:
        findings.add(where, meaning, f"{named}: {error.wrong}", error.fix)
        return []
    return _checked_keys(unchecked, issuer, where, findings)


def _checked_keys(unchecked: list[Any], issuer: dict[str, Any], where: str, findings: Findings) -> list[dict[str, str]]:
    """Return the public keys, refusing each unusable one by its number."""
    meaning = _meaning(SEALED_ISSUER, "keys")
    if "algorithms" not in issuer:
        return []  # already a problem, without which no key can be judged
    keys: list[dict[str, str]] = []
    seen: set[str] = set()
    found_before = len(findings.problems)
    for number, jwk in enumerate(unchecked, 1):
        if isinstance(jwk, dict) and jwk.get("use") == "enc":
            continue  # identity providers publish encryption keys in the same set; no ticket is signed with them
        try:
            key = public_key(jwk, issuer["algorithms"])
        except IssuerKeyError as error:
            findings.add(where, meaning, f"key {number}: {error.wrong}", error.fix)
            continue
        names = {"key " + thumbprint(key)} | ({"kid " + key["kid"]} if "kid" in key else set())
        if names & seen:
            findings.add(where, meaning, f"key {number}: its {min(names & seen)} stands twice", "Remove one.")
        seen |= names
        keys.append(key)
    if not keys and len(findings.problems) == found_before:
        findings.add(where, meaning, "there is no key for signatures", "Add the issuer's public signing key.")
    return keys
