// Attendance: from who was present, window by window, to the few sets and tallies that counting rules ask for. Nothing of
// a window is kept but what it adds to these, so that an event needs no more memory than its largest unions.

import { WINDOW_S } from "./event.js";
import { Seats } from "./seats.js";
import { everybody } from "./manifest.js";
import { reasonOf } from "./roll.js";

export const CHANNELS = ["online", "onsite"];

const key = (...parts) => parts.map((part) => part ?? "").join("\u0000");
const get = (map, name, make) => {
  if (!map.has(name)) map.set(name, make());
  return map.get(name);
};

/** People whom a number may be of: {among: null or a set, scoped}; `scoped`: asked by session and day as well. */
export class Attendance {
  #unions = new Map(); // channel, session, day -> who was present (gross)
  #peaks = new Map(); // channel, session, day, group -> {value, at}
  #times = new Map(); // session, day, group -> doubled person-seconds
  #before = { window: -1, sets: new Map() };

  /** `groups` are [name, {among, scoped}]: the sets of attendees that peaks and person-time are wanted for. */
  constructor(event, roll, groups) {
    Object.assign(this, { event, roll, groups });
    this.days = new Set();
    this.grossDays = new Set();
    this.grossWindows = new Set();
    this.sizes = new Map(); // window -> {online, onsite}: people present, net
    this.onlineSizes = new Map(); // window -> session number -> identities present online, gross
  }

  /** Take in a window; windows come in ascending order. `online` and `onsite` are canonical seats by session number. */
  add(window, online, onsite, intervalS) {
    const { event, roll } = this;
    const day = event.day(window);
    const channels = { online, onsite };
    const net = { online: new Map(), onsite: new Map() };
    for (const channel of CHANNELS) {
      for (const [session, seats] of channels[channel]) {
        if (seats.empty) continue;
        get(this.#unions, key(channel, session, day), () => new Seats()).absorb(seats);
        this.grossDays.add(day);
        this.grossWindows.add(window);
        const people = roll.people(seats);
        if (!people.empty) net[channel].set(session, people);
      }
    }
    this.onlineSizes.set(window, new Map([...online].map(([session, seats]) => [session, seats.size])));
    if (net.online.size || net.onsite.size) this.days.add(day);
    this.#addPeaks(window, day, net);
    this.#addTime(window, day, net.online, intervalS);
  }

  #addPeaks(window, day, net) {
    const inAny = {};
    for (const channel of CHANNELS) inAny[channel] = everybody([...net[channel].values()]);
    inAny.either = everybody([inAny.online, inAny.onsite]);
    this.sizes.set(window, { online: inAny.online.size, onsite: inAny.onsite.size });
    for (const [name, { among, scoped }] of this.groups) {
      const size = (seats) => (seats === undefined || seats.chunks.size === 0 ? 0 : among ? seats.sizeAnd(among) : seats.size);
      for (const channel of [null, ...CHANNELS]) {
        const here = size(inAny[channel ?? "either"]);
        this.#raisePeak(key(channel, null, null, name), here, window);
        if (!scoped) continue;
        this.#raisePeak(key(channel, null, day, name), here, window);
        for (const { number } of this.event.sessions) {
          const sets = CHANNELS.filter((each) => channel === null || each === channel).map((each) => net[each].get(number)).filter(Boolean);
          if (sets.length) this.#raisePeak(key(channel, number, null, name), size(sets.length > 1 ? everybody(sets) : sets[0]), window);
        }
      }
    }
  }

  #raisePeak(cell, value, window) {
    if (value > (this.#peaks.get(cell)?.value ?? 0)) this.#peaks.set(cell, { value, at: window });
  }

  #addTime(window, day, online, intervalS) {
    const sets = new Map(online);
    sets.set(null, everybody([...online.values()]));
    const before = this.#before.window === window - WINDOW_S ? this.#before.sets : new Map();
    this.#before = { window, sets };
    const scheduledIn = new Set(this.event.sessions.filter((session) => session.windowSet.has(window)).map((session) => session.number));
    if (!scheduledIn.size) return;
    for (const [session, present] of sets) {
      if (session !== null && !scheduledIn.has(session)) continue;
      const arrived = before.has(session) ? present.minus(before.get(session)) : present;
      for (const [name, { among, scoped }] of this.groups) {
        if (!scoped && session !== null) continue;
        const size = (seats) => (among ? seats.sizeAnd(among) : seats.size);
        const doubled = 2 * WINDOW_S * size(present) - (2 * WINDOW_S - intervalS) * size(arrived);
        for (const cell of [key(session, null, name), key(session, day, name)]) this.#times.set(cell, (this.#times.get(cell) ?? 0) + doubled);
      }
    }
  }

  /** Return everybody present on a channel (null = either), in a session (null = any), on a day (null = any): gross. */
  gross(channel, session, day) {
    const name = key("union", channel, session, day);
    if (!this.#unions.has(name)) {
      const channels = channel === null ? CHANNELS : [channel];
      const sessions = session === null ? this.event.sessions.map(({ number }) => number) : [session];
      const days = day === null ? [...this.grossDays] : [day];
      const cells = channels.flatMap((one) => sessions.flatMap((number) => days.map((date) => this.#unions.get(key(one, number, date)))));
      this.#unions.set(name, everybody(cells.filter(Boolean)));
    }
    return this.#unions.get(name);
  }

  /** The same without those excluded and without guests. */
  net(channel, session, day) {
    return get(this.#unions, key("net", channel, session, day), () => this.roll.people(this.gross(channel, session, day)));
  }

  peak(channel, session, day, group) {
    return this.#peaks.get(key(channel, session, day, group)) ?? { value: 0, at: null };
  }

  doubledSeconds(session, day, group) {
    return this.#times.get(key(session, day, group)) ?? 0;
  }
}

/** Every view once, as its earliest join opened it: [{seat, session, day, invalid}], seats canonical, `invalid` a reason or null. */
export function viewsOf(event, journals, roll) {
  const known = new Set(event.sessions.map((session) => session.number));
  const first = new Map();
  for (const { joins } of journals) {
    for (const join of joins) {
      if (join.view === 0n || !known.has(join.session)) continue;
      const view = (join.view << 16n) | BigInt(join.session);
      const before = first.get(view);
      const earlier = !before || join.joinedAtMs < before.joinedAtMs || (join.joinedAtMs === before.joinedAtMs && join.seat < before.seat);
      if (earlier) first.set(view, join);
      else if (join.joinedAtMs === before.joinedAtMs && join.seat === before.seat) first.set(view, { ...before, filters: before.filters | join.filters });
    }
  }
  return [...first.values()].map((join) => ({
    seat: roll.canonicalSeat(join.seat), session: join.session, invalid: reasonOf(event, join.filters), day: event.day(Math.floor(join.joinedAtMs / 60_000) * WINDOW_S) }));
}
