// What anybody can recompute from the public leaves alone: views, the peak online, average audience, hours viewed.

import { WINDOW_S } from "./event.js";
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
