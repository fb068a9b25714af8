// What a certificate tells beside its numbers, as checks read it: figures of people, and the numbers they are of.

import { isCount, require } from "./bytes.js";
import { hasExactly, isObject, sameJson } from "./canonical_json.js";
import { Differences } from "./differences.js";
import { scopeKey } from "./rules.js";

const NOTHING = { present: 0, arrived: 0, background: 0, views: 0 };

/** A certificate of version 3, and the log that it was counted from. */
export class Told {
  #rows;

  constructor(log, document, words) {
    Object.assign(this, { log, event: log.event, document, words, differences: new Differences(log, document) });
    const names = [...new Set(log.event.issuers.map(({ namespace }) => namespace))].sort();
    this.namespaces = names.length > 1 ? names : [];
    this.several = names.length > 1;
    this.below = log.event.suppressBelow;
    this.#rows = new Map(document.numbers.map((row) => [scopeKey(row.rule, row.scope), row]));
  }

  /** Return a figure of people as a map by namespace (of an event of one: ""); null is withheld. */
  people(said, where) {
    const parts = this.several ? said : { "": said };
    const names = this.several ? this.namespaces : [""];
    const sound = isObject(parts) && names.every((name) => Object.hasOwn(parts, name)) && Object.keys(parts).every((name) => name === "" || names.includes(name));
    require(sound, `${where}: people of several namespaces are not one number, and of one they are`);
    require(Object.values(parts).every((count) => count === null || isCount(count)), `${where}: people are whole numbers`);
    require(!this.several || parts[""] !== 0, `${where}: nobody is in no namespace, and yet stands there`);
    return new Map(Object.keys(parts).sort().map((name) => [name, parts[name]]));
  }

  /** Return the namespaces of which people are counted, in their order. */
  get spaces() {
    return [...this.people(this.document.waterfall.rows.at(-1).people, "the waterfall").keys()];
  }

  /** Return a number as it is printed: its value, [largest, sum] of namespaces, or null if it is not. */
  printed(rule, scope) {
    const row = this.#rows.get(scopeKey(rule, scope));
    return row === undefined || Object.hasOwn(row, "suppressed") ? null : row.value ?? row.bounds;
  }

  /** Whether a number is withheld; null if the event does not count by that rule. */
  isWithheld(rule, scope) {
    const row = this.#rows.get(scopeKey(rule, scope));
    return row === undefined ? null : Object.hasOwn(row, "suppressed");
  }

  /** Whether people by namespace, of which none is withheld, are not those of a printed number. */
  differs(parts, rule, scope) {
    const number = this.printed(rule, scope);
    return number !== null && ![...parts.values()].includes(null) && !sameJson(number, together([...parts.values()]));
  }

  /** Return [window, leaf's row of a session ("" = the event), leaf] of each window. */
  leavesOf(session) {
    return [...this.log.windows].map(([window, leaf]) => [window, leaf.totals.get(session) ?? NOTHING, leaf]);
  }
}

/** Return how many people namespaces hold together, as numbers print it: [largest, sum] where several hold any. */
export function together(counted) {
  const holding = counted.filter((people) => people > 0);
  const sum = sumOf(holding);
  return holding.length > 1 ? [Math.max(...holding), sum] : sum;
}

export const sumOf = (numbers) => numbers.reduce((sum, number) => sum + (number ?? 0), 0);

/** Return the sum of two figures, namespace by namespace; null where either is withheld. */
export function added(one, other) {
  const of = (figure, name) => (figure.has(name) ? figure.get(name) : 0);
  const names = [...new Set([...one.keys(), ...other.keys()])];
  return new Map(names.map((name) => [name, of(one, name) === null || of(other, name) === null ? null : of(one, name) + of(other, name)]));
}

/** Throw unless a value is an object with these members and no others. */
export const requireOnly = (row, names, words) => require(hasExactly(row, names), words);

/** Return what a session's scope is called. */
export const calledOf = (scope) => scope.session ?? "the event";
