// The report as people read it: the verdict, the headline numbers with their definitions, the checks, all numbers.

import { isKnown } from "./rules.js";
import { CHECKS_IN_WORDS, HEADLINES, RULES_IN_WORDS } from "./plain_words.js";

const STATES = { true: ["holds", "holds"], false: ["fails", "failed"], null: ["open", "not checked"] };

const MARKS = { holds: "✓", fails: "✗", open: "–", alarm: "!" };

/** Return an element with properties and children; texts are texts, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const grouped = (number) => (typeof number === "number" ? number.toLocaleString("en", { maximumFractionDigits: 1 }) : String(number));

function valueOf(row) {
  if (row.suppressed) return "withheld";
  if (row.value !== null) return grouped(row.value);
  return row.bounds ? `${grouped(row.bounds[0])} to ${grouped(row.bounds[1])}` : "–";
}

/** A number that gaps touch, in words: between what and what it truly lies. */
function boundsOf(row) {
  const between = row.value === null ? row.bounds_with_gaps : row.bounds;
  if (!between) return "";
  return between[1] === null ? `in truth ${grouped(between[0])} or more, not bounded` : `in truth ${grouped(between[0])} to ${grouped(between[1])}`;
}

/** How far a number was confirmed here: {text, state}. */
function confirmed(report, row) {
  const passed = Object.fromEntries(report.checks.map((check) => [check.name, check.passed]));
  if (report.verdict === "fails") return { state: "fails", text: "not confirmed: a check failed" };
  if (passed["all numbers"] && isKnown(row)) return { state: "holds", text: "recomputed here from the evidence" };
  if (row.checkable_by === "log" && passed["public numbers"]) return { state: "holds", text: "recomputed here from the public log" };
  if (passed["proof of inclusion"]) return { state: "open", text: "signed into the log; not recomputed here" };
  return { state: "open", text: "as the file says; nothing confirms it yet" };
}

/** What a verdict is called, and what it rests on. */
function verdictInWords({ verdict, checks, notRecomputed }) {
  const names = (passed, asked) => checks.filter((check) => check.passed === passed && check.asked === asked).map(({ name }) => name).join(", ");
  const left = names(null, false);
  if (verdict === "fails") return ["Does not hold", `Failed: ${[names(false, true), names(false, false)].filter(Boolean).join(", ")}. Do not rely on these numbers.`];
  if (verdict === "open") return ["What could be checked holds", `Open: ${names(null, true)}.${left ? ` Not asked for: ${left}.` : ""}`];
  const whole = checks.find(({ name }) => name === "roll and cross-check").passed;
  if (whole && notRecomputed.length) {
    return ["Everything checked holds", "Signature, log, witnesses, and every number that this page recomputes. What it does not recompute stands at the end."];
  }
  if (whole) return ["Everything holds", "Signature, log, witnesses and every number were checked on this device."];
  return ["Holds", `Everything that was given holds, under a key that the policy trusts. Not asked for: ${left}.`];
}

function verdict(report) {
  const [title, text] = verdictInWords(report);
  const state = report.verdict;
  return element("div", { className: `verdict ${state}`, "data-verdict": state },
    element("h2", { id: "verdict", tabIndex: -1 }, element("span", { className: "mark", "aria-hidden": "true" }, MARKS[state]), title),
    element("p", {}, text));
}

function eventOf({ event, issued_at, software, notice }) {
  return [
    notice ? element("p", { className: "notice" }, notice) : null,
    element("h2", { className: "event" }, String(event?.name ?? "")),
    element("p", { className: "quiet" }, [event?.organiser, event?.format, `${event?.sessions?.length ?? 0} sessions`, `issued ${issued_at}`, software].filter(Boolean).join(" · ")),
  ];
}

function card(report, row, rule) {
  const { state, text } = confirmed(report, row);
  const bounds = boundsOf(row);
  return element("li", { className: `card ${state}` },
    element("h3", {}, RULES_IN_WORDS[row.rule] ?? row.rule),
    element("p", { className: "value" }, valueOf(row), element("span", { className: "unit" }, ` ${row.unit}`)),
    row.at ? element("p", { className: "quiet" }, `at ${row.at}`) : null,
    bounds ? element("p", { className: "bounds" }, bounds) : null,
    element("p", { className: "definition" }, String(rule?.definition ?? "")),
    element("p", { className: "confirmed" }, element("span", { "aria-hidden": "true" }, `${MARKS[state]} `), text));
}

function headline(report) {
  const rows = Array.isArray(report.document.numbers) ? report.document.numbers : [];
  const rules = Array.isArray(report.document.rules) ? report.document.rules : [];
  const isWhole = (row) => Object.keys(row.scope ?? {}).filter((name) => name !== "channel").length === 0;
  const cards = HEADLINES.map((id) => rows.find((row) => row.rule === id && isWhole(row))).filter(Boolean);
  return element("ul", { className: "cards", id: "headline" }, ...cards.map((row) => card(report, row, rules.find(({ id }) => id === row.rule))));
}

function checkRow({ name, passed, detail, alarm }) {
  const [state, word] = alarm ? ["alarm", alarm] : STATES[passed];
  const [question, meaning] = CHECKS_IN_WORDS[name];
  return element("li", { className: `check ${state}`, "data-check": name, "data-passed": String(passed) },
    element("span", { className: "mark", "aria-hidden": "true" }, MARKS[state]),
    element("div", {},
      element("h3", {}, question, element("span", { className: "state" }, word)),
      element("p", { className: "detail" }, detail),
      element("p", { className: "quiet" }, meaning)));
}

function numbersTable(rows) {
  const heads = ["Rule", "Of", "Value", "Unit", "Checkable by"];
  const cells = (row) => [row.rule, Object.entries(row.scope).map(([name, value]) => `${name} ${value}`).join(", ") || "whole event",
    [valueOf(row), boundsOf(row)].filter(Boolean).join("; "), row.unit, row.checkable_by];
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "All numbers" },
    element("table", {},
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row).map((cell) => element("td", {}, String(cell))))))));
}

function limits(report) {
  const { identity, witnesses_statement } = report.document;
  const said = [
    ...report.notRecomputed.map((what) => `This page does not recompute ${what}; turnout verify does.`),
    "This page does not check that the event file in entry 0 keeps to every rule for event files; turnout verify does.",
    identity?.statement, witnesses_statement,
  ].filter(Boolean);
  return element("ul", {}, ...said.map((line) => element("li", {}, line)));
}

/** Return the elements that show a report. */
export function reportView(report) {
  const { document: certificate } = report;
  const checks = element("section", { "aria-labelledby": "checks-title" },
    element("h2", { id: "checks-title" }, "The checks"),
    element("ol", { className: "checks", id: "checks" }, ...report.checks.map(checkRow)));
  if (!certificate) return [verdict(report), checks];
  const rows = Array.isArray(certificate.numbers) ? certificate.numbers.filter((row) => row?.scope) : [];
  return [
    verdict(report),
    element("section", { "aria-label": "The event and its numbers" }, ...eventOf(certificate).filter(Boolean), headline(report)),
    checks,
    element("details", {}, element("summary", {}, `All ${rows.length} numbers`), numbersTable(rows)),
    element("section", { "aria-labelledby": "limits-title" }, element("h2", { id: "limits-title" }, "What this does not show"), limits(report)),
  ];
}
