"""What the keys of an event file must be together: numbers that are unique, an end after its start, one session a gate.

Each key by itself is checked before (counters.event_values); what was wrong with one is not in its table here.
"""

from itertools import pairwise
from typing import Any

from counters.beacon import DRAND
from counters.event_keys import AUDIT, EVENT, ISSUER, LOG, RULE, SEALED_WITNESS, SESSION, SIMULATION, Key, meaning_of
from counters.event_problems import Findings
from counters.event_values import shown


def check_together(
    document: dict[str, Any],
    sessions: list[dict[str, Any]],
    issuers: list[dict[str, Any]],
    rules: list[dict[str, Any]],
    witnesses: list[dict[str, Any]],
    log: dict[str, Any],
    findings: Findings,
) -> None:
    """Add to the findings what contradicts each other in the tables of an event file.

    Args:
        document: the table [event], with `audit` and `simulation`, None where there is no such table.
        sessions: [[session]].
        issuers: [[issuer]].
        rules: [[rule]]; whether presence counts only in the schedule is filled in.
        witnesses: [[witness]].
        log: [log].
        findings: where problems go.
    """
    _check_sessions(sessions, findings)
    _check_gates(sessions, findings)
    _check_issuers(issuers, findings)
    _check_own_rules(rules, findings)
    _check_witnesses(witnesses, log, findings)
    _check_times(document, sessions, findings)
    _check_audit(document["audit"], document.get("late_until"), findings)
    _check_simulation(document["simulation"], issuers, sessions, findings)


def _unique(tables: list[dict[str, Any]], where: str, name: str, keys: tuple[Key, ...], findings: Findings) -> None:
    first: dict[Any, int] = {}
    for index, table in enumerate(tables, 1):
        value = table.get(name)
        if value is None:
            continue
        if value in first:
            wrong = f"{shown(value)} is already that of {where}[{first[value]}]"
            findings.add(f"{where}[{index}].{name}", meaning_of(keys, name), wrong, "Give each its own.")
        first.setdefault(value, index)


def _check_sessions(sessions: list[dict[str, Any]], findings: Findings) -> None:
    _unique(sessions, "session", "number", SESSION, findings)
    _unique(sessions, "session", "id", SESSION, findings)
    for index, session in enumerate(sessions, 1):
        starts_at, ends_at = session.get("starts_at"), session.get("ends_at")
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            wrong = f"{shown(ends_at)} is not after starts_at {shown(starts_at)}"
            findings.add(f"session[{index}].ends_at", meaning_of(SESSION, "ends_at"), wrong, "Correct one of the two.")


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
                findings.add(f"session[{after[2]}].gates", meaning_of(SESSION, "gates"), wrong, fix)


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
            findings.add(f"{where}.percent", meaning_of(RULE, "percent"), wrong, fix)
        if percent is not None and rule["in_schedule"] is False:
            wrong, fix = "a percentage is of what is scheduled", "Leave it out, or say windows."
            findings.add(f"{where}.in_schedule", meaning_of(RULE, "in_schedule"), wrong, fix)
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
        findings.add("log.required_witnesses", meaning_of(LOG, "required_witnesses"), wrong, fix)


def _check_times(document: dict[str, Any], sessions: list[dict[str, Any]], findings: Findings) -> None:
    late_until = document.get("late_until")
    last = max((session["ends_at"] for session in sessions if "ends_at" in session), default=None)
    if late_until is not None and last is not None and late_until <= last:
        wrong = f"{shown(late_until)} is not after the last session's end {shown(last)}"
        findings.add("event.late_until", meaning_of(EVENT, "late_until"), wrong, "Leave scanners a day to upload.")


def _check_audit(audit: dict[str, Any] | None, late_until: Any, findings: Findings) -> None:
    """The roll is sealed once nothing more counts; a round before that could be known to whoever makes the roll."""
    if audit is None or not {"beacon", "round", "round_at"} <= audit.keys():
        return
    drand, at = DRAND.get(audit["beacon"]), audit["round_at"]
    if drand is None and at is None:
        fix = f"Add round_at, or use a beacon whose rounds' times are known: {', '.join(DRAND)}."
        wrong = f"it is not known when a round of {shown(audit['beacon'])} happens"
        findings.add("audit.round_at", meaning_of(AUDIT, "round_at"), wrong, fix)
        return
    if drand is not None and at is not None:
        fix = "Leave it out: it follows from the round."
        findings.add("audit.round_at", meaning_of(AUDIT, "round_at"), "this beacon's rounds have their times", fix)
        return
    happens = at.timestamp() if drand is None else drand.at(audit["round"])
    if late_until is not None and happens <= late_until.timestamp():
        name, wrong = ("round_at", shown(at)) if drand is None else ("round", shown(audit["round"]))
        fix = "Name a round at least some hours after late_until: the roll must be sealed and cosigned before it."
        findings.add(f"audit.{name}", meaning_of(AUDIT, name), f"{wrong} is not after late_until", fix)
    until = audit.get("retain_tokens_until")
    if until is not None and until.timestamp() <= happens:
        name, fix = "retain_tokens_until", "Leave as long as the audit may take."
        findings.add(f"audit.{name}", meaning_of(AUDIT, name), f"{shown(until)} is not after the beacon's round", fix)


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
        meaning = meaning_of(SIMULATION, "starts_at")
        findings.add("simulation.starts_at", meaning, wrong, "Start the clock before the sessions.")
