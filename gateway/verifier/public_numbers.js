// What anybody can recompute from the public leaves alone: views, the peak online, average audience, hours viewed.

import { WINDOW_S } from "./event.js";
import { atLeast } from "./left_out.js";
import { Fraction } from "./rationals.js";

const NOTHING = { present: 0, arrived: 0, background: 0, views: 0 };

export class PublicNumbers {
  #log;
  #days;
  #arrivals;

  /** Without `arrivals` as if nobody had arrived: as if every seat went on another's time. */
  constructor(log, { arrivals = true } = {}) {
    this.#log = log;
    this.#arrivals = arrivals;
    this.#days = new Map([...log.windows.keys()].map((window) => [window, log.event.day(window)]));
  }

  /** Return {value, at} of a rule over {session, day, channel} (ids; absent = all), or null if the leaves do not hold it. */
  measure(id, scope) {
    const others = Object.keys(scope).some((name) => !["session", "day", "channel"].includes(name));
    if (others || (scope.channel !== "online" && id !== "views")) return null;
    if (scope.channel !== undefined && scope.channel !== "online" && id === "views") return null;
    if (id === "views") return this.#views(scope);
    if (id === "peak-concurrent-attendees") return this.#peak(scope);
    if (id === "average-minute-audience" || id === "hours-viewed") return this.#time(id, scope);
    return null;
  }

  /**
   * Return what a peak online, or person-time online, may be at most (a Fraction) if leaves left out so many `seats`: in
   * each window as many as its leaf has and all of those, and no more than its sketches say, which have everybody in them.
   */
  most(id, scope, seats) {
    const ofTime = id !== "peak-concurrent-attendees";
    const { event } = this.#log;
    const session = scope.session === undefined ? null : event.session(scope.session).number;
    const windows = ofTime ? event.scheduledOf(session, scope.day ?? null) : this.#sealed(scope);
    const present = windows.map((window) => this.#mostOnline(window, scope, seats));
    if (!ofTime) return present.reduce((best, each) => (best.compare(each) < 0 ? each : best), new Fraction(0));
    const { numerator, denominator } = present.reduce((sum, each) => sum.plus(each), new Fraction(0));
    return new Fraction(numerator, denominator * (id === "hours-viewed" ? 60n : BigInt(Math.max(windows.length, 1))));
  }

  /**
   * Return how many views there may be at most, with those that leaves left out; null: leaves do not bound them. Leaves of
   * version 2 say how many were left out so far: at least before the scope's first window, at most up to its last one.
   */
  mostViews(scope) {
    const { event, windows } = this.#log;
    const inside = this.#sealed(scope);
    const counted = this.#views(scope);
    if (counted === null) return null;
    if (!inside.length) return 0;
    const telling = [...windows.values()].filter(({ leftOut }) => leftOut !== null);
    const until = telling.find(({ window }) => window >= inside.at(-1));
    if (!until) return null;
    const since = telling.findLast(({ window }) => window < inside[0]);
    const ids = scope.session === undefined ? event.sessions.map(({ id }) => id) : [scope.session];
    const between = (id) => until.leftOut.get(id) - (since ? atLeast(since.leftOut.get(id), event.suppressBelow) : 0);
    return ids.reduce((sum, id) => sum + between(id), counted.value);
  }

  #mostOnline(window, scope, seats) {
    const { present } = this.#row(window, scope);
    const most = new Fraction((present ?? this.#log.event.suppressBelow - 1) + seats);
    const rows = (this.#log.windows.get(window)?.entry.sketches ?? [])
      .filter(({ session, sketch }) => sketch === "attendees" && (scope.session ?? session) === session);
    if (rows.some(({ estimate }) => estimate === null)) return most;
    // Each five standard errors, max(0.8125 %, 1), more than it says: in millionths.
    const sure = rows.filter(({ estimate }) => estimate > 0).map(({ estimate }) => BigInt(estimate) * 1_000_000n + 5n * BigInt(Math.max(8125 * estimate, 1_000_000)));
    const estimated = new Fraction(sure.reduce((sum, part) => sum + part, 0n), 1_000_000n);
    return most.compare(estimated) < 0 ? most : estimated;
  }

  #row(window, scope) {
    return this.#log.windows.get(window)?.totals.get(scope.session ?? "") ?? NOTHING;
  }

  #sealed(scope) {
    return [...this.#log.windows.keys()].filter((window) => scope.day === undefined || this.#days.get(window) === scope.day);
  }

  #views(scope) {
    let value = 0;
    for (const window of this.#sealed(scope)) {
      const { views } = this.#row(window, scope);
      if (views === null) return null;
      value += views;
    }
    return { value, at: null };
  }

  #peak(scope) {
    let best = { value: 0, at: null };
    let withheld = false;
    for (const window of this.#sealed(scope)) {
      const { present } = this.#row(window, scope);
      if (present === null) withheld = true;
      else if (present > best.value) best = { value: present, at: window };
    }
    // A withheld row is under the threshold: it cannot be the peak, nor tie with it, if the peak is not.
    return withheld && best.value < this.#log.event.suppressBelow ? null : best;
  }

  /** Person-time is Σ 60·present − (60 − I/2)·arrived seconds over the scheduled windows; twice that is whole. */
  #time(id, scope) {
    const { event, windows } = this.#log;
    const session = scope.session === undefined ? null : event.session(scope.session).number;
    const scheduled = event.scheduledOf(session, scope.day ?? null);
    let doubled = 0;
    for (const window of scheduled) {
      const { present, arrived } = this.#row(window, scope);
      if (present === null) return null;
      const intervalS = windows.get(window)?.intervalS ?? event.intervalS;
      doubled += 2 * WINDOW_S * present - (2 * WINDOW_S - intervalS) * (this.#arrivals ? arrived : 0);
    }
    return { value: personTime(id, doubled, scheduled.length), at: null };
  }
}

/** Return person-time (twice its seconds) as a rule prints it: over the scheduled seconds, or in hours. */
export function personTime(id, doubledS, scheduledWindows) {
  if (id === "hours-viewed") return new Fraction(doubledS, 7200);
  return scheduledWindows ? new Fraction(doubledS, 2 * WINDOW_S * scheduledWindows) : new Fraction(0);
}
