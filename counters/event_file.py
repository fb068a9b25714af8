"""Reading the event file: every problem found in one pass, each with its key, what the key means, and the fix.

The result is a *document*: the checked tables as plain dicts, with the issuers' public keys in place of the name of
their file. counters.event makes values of it. The keys themselves are described in counters.event_keys; what several of
them must be together is checked in counters.event_checks.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from counters.event_checks import check_together
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
    meaning_of,
)
from counters.event_problems import Findings, MissingKeys
from counters.event_values import WrongValueError
from counters.issuer_keys import IssuerKeyError, public_key, read_jwks, thumbprint
from counters.spelling import did_you_mean

FILE_LIMIT_BYTES: Final = 1024 * 1024
"""What is canonicalised must fit 60,000 bytes; comments and spaces may take the rest."""
OWN_RULES_LIMIT: Final = 20
"""A certificate that counts in more ways explains none of them."""
ISSUERS_LIMIT: Final = 100
"""Far above the ticket shops and identity providers of any event."""

_ABSENT: Final = object()


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
    check_together(document, sessions, issuers, rules, witnesses, log, findings)
    findings.raise_if_any(source)
    document["sessions"] = sorted(sessions, key=lambda session: int(session["number"]))
    document["issuers"] = issuers
    document["own_rules"] = rules
    document["witnesses"] = witnesses
    document["required_witnesses"] = log["required_witnesses"]
    return document


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
            findings.add(f"{where}.jwks_url", meaning_of(keys, "jwks"), "keys are not fetched from an address", fix)
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


def _keys_from_file(issuer: dict[str, Any], folder: Path, where: str, findings: Findings) -> list[dict[str, str]]:
    named = issuer.pop("jwks", None)
    if named is None:
        return []  # already a problem
    path, where, meaning = folder / named, f"{where}.jwks", meaning_of(ISSUER, "jwks")
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
    meaning = meaning_of(SEALED_ISSUER, "keys")
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
