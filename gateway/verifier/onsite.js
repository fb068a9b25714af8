// On-site presence: from badge scans to stays, step by step as docs/formats.md numbers them.

import { WINDOW_S } from "./event.js";
import { IN, OUT } from "./journal.js";
import { Seats } from "./seats.js";

const MARGIN_S = 24 * 60 * 60;

const windowOf = (scan) => Math.floor(scan.scannedAtMs / 60_000) * WINDOW_S;

/** Return {stays, outsideEvent}: stays are {session, seat, first, last} (unix seconds of windows). */
export function staysOf(event, journals, roll) {
  const { near, outsideEvent } = nearEvent(event, everyScan(journals, roll));
  const bySeat = grouped(near, (scan) => scan.seat);
  const sessions = new Map(event.sessions.map((session) => [session.number, session]));
  const stays = [];
  for (const scans of bySeat.values()) {
    // 3. by the scanners' clocks; of two in the same millisecond, in before out, then the lower session number.
    scans.sort((a, b) => a.scannedAtMs - b.scannedAtMs || a.direction - b.direction || a.session - b.session);
    // 4. An exit directly after an entry, at a gate of the session entered, ends that stay.
    const sessionsSaid = scans.map((scan) => scan.session);
    const forSession = scans.map((scan, at) => {
      const before = scans[at - 1];
      const ends = before?.direction === IN && scan.direction === OUT && sessions.get(sessionsSaid[at - 1])?.gates.includes(scan.gate);
      return { ...scan, session: ends ? sessionsSaid[at - 1] : scan.session };
    });
    // 5. and 6., session by session.
    for (const [number, visit] of grouped(forSession.filter((scan) => sessions.has(scan.session)), (scan) => scan.session)) {
      stays.push(...visits(visit, sessions.get(number)));
    }
  }
  return { stays, outsideEvent };
}

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) {
    if (!groups.has(key(item))) groups.set(key(item), []);
    groups.get(key(item)).push(item);
  }
  return groups;
}

/** 1. Accepted scans; of several with the same gate and nonce the one received first. */
function everyScan(journals, roll) {
  const first = new Map();
  const order = (scan) => [scan.receivedAtMs, scan.scannedAtMs, scan.seat, scan.session, scan.direction];
  for (const { scans } of journals) {
    for (const scan of scans) {
      if (!scan.accepted) continue;
      const key = `${scan.gate.length}:${scan.gate}${scan.nonce}`;
      const known = first.get(key);
      if (!known || isBefore(order(scan), order(known))) first.set(key, scan);
    }
  }
  return [...first.values()].map((scan) => ({ ...scan, seat: roll.canonicalSeat(scan.seat) }));
}

function isBefore(one, other) {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at >= 0 && one[at] < other[at];
}

/** 2. Not those of clocks that are more than a day off the event. */
function nearEvent(event, scans) {
  const from = (event.scheduled[0] - MARGIN_S) * 1000;
  const until = (event.scheduled.at(-1) + WINDOW_S + MARGIN_S) * 1000;
  const isNear = (scan) => scan.scannedAtMs >= from && scan.scannedAtMs < until;
  const known = new Set(event.sessions.map((session) => session.number));
  const outsideEvent = scans.filter((scan) => !isNear(scan) && known.has(scan.session)).length;
  return { near: scans.filter(isNear), outsideEvent };
}

function visits(scans, session) {
  const stays = [];
  for (let at = 0; at < scans.length; at++) {
    const [scan, next] = [scans[at], scans[at + 1]];
    const first = windowOf(scan);
    let last = first;
    if (scan.direction === IN && next?.direction === OUT) {
      last = Math.max(first, Math.min(windowOf(next), session.windows.at(-1)));
      at += 1;
    }
    stays.push({ session: session.number, seat: scan.seat, first, last });
  }
  return stays;
}

/** Goes through the windows in ascending order and says who was on site in each. */
export class OnsiteSweep {
  #waiting;
  #staying = [];

  constructor(stays) {
    this.#waiting = [...stays].sort((a, b) => b.first - a.first);
  }

  /** Return every window in which somebody stays. */
  static windows(stays) {
    const windows = new Set();
    for (const { first, last } of stays) for (let window = first; window <= last; window += WINDOW_S) windows.add(window);
    return windows;
  }

  /** Return by session number who was there. */
  at(window) {
    while (this.#waiting.length && this.#waiting.at(-1).first <= window) this.#staying.push(this.#waiting.pop());
    this.#staying = this.#staying.filter((stay) => stay.last >= window);
    const sets = new Map();
    for (const { session, seat } of this.#staying) {
      if (!sets.has(session)) sets.set(session, new Seats());
      sets.get(session).add(seat);
    }
    return sets;
  }
}
