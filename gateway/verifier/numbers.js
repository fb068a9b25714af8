// Every number of a certificate from the evidence, in the shape and order in which it is printed; but not the bounds
// that gaps give it, which this page does not recompute.

import { knownUntil } from "./certificate.js";
import { PublicNumbers, personTime } from "./public_numbers.js";
import { Fraction, printed } from "./rationals.js";
import { OF_TIME, RULES, SMALL_SCOPES, scopesOf } from "./rules.js";

const WHOLE = "";

/** Return the groups (counters of `Attendance`) that these partitions need. */
export function groupsOf(countries, namespaces) {
  const groups = new Map([[WHOLE, { among: null, scoped: true }]]);
  for (const [country, among] of countries) groups.set(`country ${country}`, { among, scoped: false });
  if (namespaces.size < 2) return groups;
  for (const [namespace, members] of namespaces) {
    groups.set(`namespace ${namespace}`, { among: members, scoped: true });
    for (const [country, among] of countries) groups.set(`namespace ${namespace} country ${country}`, { among: members.and(among), scoped: false });
  }
  return groups;
}

/**
 * Return the parts of everybody who counts: sets by name without those in no number; who is present and in none of them
 * is in `rest`. Ascending by name, none of them empty.
 */
export function partition(roll, sets, counted, rest) {
  const parts = new Map([...sets].map(([name, seats]) => [name, roll.people(seats)]));
  const others = counted.copy();
  for (const seats of parts.values()) others.remove(seats);
  if (!others.empty) parts.set(rest, (parts.get(rest)?.copy() ?? others.copy()).absorb(others));
  return new Map([...parts].filter(([, seats]) => !seats.empty).sort(([one], [other]) => (one < other ? -1 : 1)));
}

export class Numbers {
  #publicNumbers;

  constructor(log, attendance, views, countries, namespaces) {
    Object.assign(this, { log, event: log.event, attendance, countries, namespaces });
    this.views = views.filter(({ seat, invalid }) => invalid === null && !attendance.roll.excluded.has(seat));
    this.#publicNumbers = new PublicNumbers(log);
  }

  /** Return every number of a certificate of a version, in order. */
  all(issuedAt, version) {
    this.version = version;
    const { event, attendance } = this;
    const days = new Set(event.scheduled.map((window) => event.day(window)));
    [...attendance.days, ...this.views.map((view) => view.day)].forEach((day) => days.add(day));
    const asOf = knownUntil(this.log, issuedAt);
    const rules = RULES.filter((rule) => event.rules.includes(rule.id));
    return rules.flatMap((rule) => scopesOf(event, rule, [...days].sort(), [...this.countries.keys()]).map((scope) => this.#number(rule, scope, asOf)));
  }

  #number(rule, scope, asOf) {
    const { event } = this;
    const row = { rule: rule.id, rule_version: 1, scope, unit: rule.unit, kind: "exact", checkable_by: "evidence", as_of: asOf, value: null };
    const bounds = rule.ofPeople && this.namespaces.size > 1 ? this.#ofNamespaces(rule, scope) : null;
    const measure = bounds ? null : this.#measure(rule, scope, null);
    if (this.#isWithheld(rule, scope, bounds ? bounds[1] : measure.value)) return { ...row, suppressed: true };
    if (bounds) return { ...row, bounds: bounds.map(printed) };
    if (this.#tellsFewOnSite(rule, scope, measure)) return { ...row, suppressed: true };
    if (measure.at !== null) row.at = event.iso(measure.at);
    const seen = this.#publicNumbers.measure(rule.id, scope);
    if (seen !== null && seen.at === measure.at && same(seen.value, measure.value)) row.checkable_by = "log";
    return { ...row, value: printed(measure.value) };
  }

  /** Whether the event's peak would tell how few were on site in that minute, beside those whom leaves have online. */
  #tellsFewOnSite(rule, scope, { value, at }) {
    const below = this.event.suppressBelow;
    const whole = rule.id === "peak-concurrent-attendees" && !Object.keys(scope).length && at !== null && this.version > 2;
    if (!whole || this.attendance.net("onsite", null, null).size < below) return false;
    const { online, onsite } = this.attendance.sizes.get(at);
    return value > online && onsite > 0 && onsite < below;
  }

  /** Return [largest, sum] over namespaces if attendees of several are counted, else null. */
  #ofNamespaces(rule, scope) {
    const values = [...this.namespaces.keys()].map((namespace) => this.#measure(rule, scope, namespace).value);
    if (values.filter((value) => !same(value, 0)).length < 2) return null;
    const exact = values.map((value) => (value instanceof Fraction ? value : new Fraction(value)));
    const largest = exact.reduce((one, other) => (one.compare(other) < 0 ? other : one));
    const sum = exact.reduce((one, other) => one.plus(other));
    return values[0] instanceof Fraction ? [largest, sum] : [Number(largest.numerator), Number(sum.numerator)];
  }

  #isWithheld(rule, scope, value) {
    if (!SMALL_SCOPES.some((name) => name in scope)) return false;
    const people = OF_TIME.includes(rule.id) ? this.#unique("online", this.#cell(scope, null)) : value;
    return people > 0 && people < this.event.suppressBelow;
  }

  #cell(scope, namespace) {
    const session = scope.session === undefined ? null : this.event.session(scope.session).number;
    const named = [...(namespace === null ? [] : [`namespace ${namespace}`]), ...(scope.country === undefined ? [] : [`country ${scope.country}`])];
    const group = named.join(" ");
    return { session, day: scope.day ?? null, channel: scope.channel ?? null, group, among: this.attendance.groups.get(group).among };
  }

  #unique(channel, { session, day, among }) {
    const present = this.attendance.net(channel, session, day);
    return among ? present.sizeAnd(among) : present.size;
  }

  #measure(rule, scope, namespace) {
    const { attendance, event } = this;
    const cell = this.#cell(scope, namespace);
    const value = (number) => ({ value: number, at: null });
    switch (rule.id) {
      case "unique-attendees":
        return value(this.#unique(null, cell));
      case "unique-attendees-online":
        return value(this.#unique("online", cell));
      case "unique-attendees-onsite":
        return value(this.#unique("onsite", cell));
      case "unique-attendees-both": {
        const both = attendance.net("online", cell.session, cell.day).and(attendance.net("onsite", cell.session, cell.day));
        return value(cell.among ? both.sizeAnd(cell.among) : both.size);
      }
      case "daily-attendance-sum":
        return value([...attendance.days].reduce((sum, day) => sum + this.#unique(cell.channel, { ...cell, day }), 0));
      case "session-attendance-sum":
        return value(event.sessions.reduce((sum, { number }) => sum + this.#unique(cell.channel, { ...cell, session: number }), 0));
      case "views":
        return value(this.#countViews(cell));
      case "peak-concurrent-attendees":
        return attendance.peak(cell.channel, cell.session, cell.day, cell.group);
      default:
        return value(personTime(rule.id, attendance.doubledSeconds(cell.session, cell.day, cell.group), event.scheduledOf(cell.session, cell.day).length));
    }
  }

  #countViews({ session, day, among }) {
    let count = 0;
    for (const view of this.views) {
      count += (session === null || view.session === session) && (day === null || view.day === day) && (among === null || among.has(view.seat));
    }
    return count;
  }
}

function same(one, other) {
  const exact = (value) => (value instanceof Fraction ? value : new Fraction(value));
  return exact(one).compare(exact(other)) === 0;
}
