// The event as entry 0 locks it: sessions, clock minutes, and times as its time zone writes them.

import { require } from "./bytes.js";
import { encodeJson, hasExactly, isObject } from "./canonical_json.js";
import { readKey, WITNESS_KEY } from "./note.js";
import { sha256Hex } from "./sha256.js";

export const WINDOW_S = 60;
const MEMBERS = ["id", "name", "organiser", "time_zone", "interval_s", "window_s", "late_until", "sessions", "issuers",
  "counting", "simulation"];
const SESSION = ["number", "id", "title", "starts_at", "ends_at", "gates"];
/** Offsets of zones change at quarters of an hour; within one they are asked for once. */
const OFFSET_STEP_S = 900;

const pad = (number, digits = 2) => String(number).padStart(digits, "0");
const isText = (value) => typeof value === "string";
const isTexts = (value) => Array.isArray(value) && value.every(isText);

/** How a time zone writes times. */
class Zone {
  #offsets = new Map();

  constructor(name) {
    let form;
    try {
      form = new Intl.DateTimeFormat("en-US", {
        timeZone: name, calendar: "gregory", numberingSystem: "latn", hourCycle: "h23", year: "numeric",
        month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
      });
    } catch {
      require(false, `this browser does not know the time zone ${JSON.stringify(name)}`);
    }
    this.form = form;
  }

  /** Return by how many seconds the zone's clocks are ahead of UTC at a time (unix seconds). */
  offsetS(unixS) {
    const block = Math.floor(unixS / OFFSET_STEP_S) * OFFSET_STEP_S;
    if (!this.#offsets.has(block)) {
      const parts = Object.fromEntries(this.form.formatToParts(block * 1000).map(({ type, value }) => [type, Number(value)]));
      const local = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
      this.#offsets.set(block, local / 1000 - block);
    }
    return this.#offsets.get(block);
  }
}

export class Event {
  #zone;
  #scheduled = null;

  /** Read the member `event` of entry 0. */
  constructor(document) {
    const witnessed = isObject(document) && Object.hasOwn(document, "witnesses");
    // Members that this page does not count by (own rules, the audit's beacon) may stand beside those it knows.
    require(isObject(document) && MEMBERS.every((name) => Object.hasOwn(document, name)), "the event lacks a member");
    const texts = ["id", "name", "organiser", "time_zone", "late_until"];
    require(texts.every((name) => isText(document[name])), "the event names something by other than text");
    Object.assign(this, { document, id: document.id, name: document.name, organiser: document.organiser });
    this.timeZone = document.time_zone;
    this.#zone = new Zone(document.time_zone);
    this.intervalS = document.interval_s;
    require(document.window_s === WINDOW_S, "this page counts clock minutes, and no other windows");
    const inRange = Number.isInteger(this.intervalS) && this.intervalS >= 5 && this.intervalS <= 54;
    require(inRange, `${this.intervalS} is no heartbeat interval`);
    this.lateUntil = this.time(document.late_until);
    this.sessions = this.#readSessions(document.sessions);
    this.#readIssuers(document.issuers);
    const counting = document.counting;
    require(isObject(counting) && isTexts(counting.rules) && isTexts(counting.exclude_categories), "no counting rules");
    require(Number.isInteger(counting.suppress_below) && counting.suppress_below > 0, "suppress_below is no number");
    this.rules = counting.rules;
    this.excludeCategories = counting.exclude_categories;
    this.excludeTraffic = counting.exclude_traffic ?? [];
    require(isTexts(this.excludeTraffic), "the invalid traffic that it excludes is no list");
    this.suppressBelow = counting.suppress_below;
    this.simulated = document.simulation !== null;
    this.witnesses = witnessed ? this.#readWitnesses(document) : [];
    this.requiredWitnesses = witnessed ? document.log.required_witnesses : 0;
    this.digest = sha256Hex(encodeJson(document));
  }

  #readSessions(rows) {
    require(Array.isArray(rows) && rows.length > 0, "the event has no sessions");
    let before = 0;
    return rows.map((row) => {
      require(hasExactly(row, SESSION) && [row.id, row.title].every(isText) && isTexts(row.gates), "a session is malformed");
      require(Number.isInteger(row.number) && row.number > before && row.number <= 65535, "sessions are not in order");
      before = row.number;
      const startsAt = this.time(row.starts_at);
      const endsAt = this.time(row.ends_at);
      require(startsAt < endsAt, `session ${row.id} ends before it starts`);
      const windows = [];
      for (let window = startsAt - (startsAt % WINDOW_S); window < endsAt; window += WINDOW_S) windows.push(window);
      return { number: row.number, id: row.id, title: row.title, startsAt, endsAt, gates: row.gates, windows, windowSet: new Set(windows) };
    });
  }

  #readIssuers(rows) {
    const sound = Array.isArray(rows) && rows.every((row) => isObject(row) && [row.id, row.namespace, row.operated_by].every(isText));
    require(sound && rows.length > 0, "the event's issuers are malformed");
    this.issuers = rows.map((row) => ({ id: row.id, namespace: row.namespace, operatedBy: row.operated_by, development: row.development, row }));
  }

  #readWitnesses(document) {
    const rows = document.witnesses;
    require(Array.isArray(rows) && rows.length > 0 && isObject(document.log), "the event's witnesses are malformed");
    const required = document.log.required_witnesses;
    require(Number.isInteger(required) && required >= 0 && required <= rows.length, "more witnesses are required than named");
    const keys = new Set(rows.map((row) => row.vkey.split("+").slice(2).join("+")));
    require(keys.size === rows.length, "one witness key is named twice");
    return rows.map((row) => ({ name: row.name, operatedBy: row.operated_by, key: readKey(row.vkey, WITNESS_KEY) }));
  }

  /** Return a time as it is printed: "2023-11-19T09:00:00+08:00". */
  iso(unixS) {
    const offset = this.#zone.offsetS(unixS);
    const local = new Date((unixS + offset) * 1000).toISOString().slice(0, 19);
    const minutes = Math.floor(Math.abs(offset) / 60);
    return `${local}${offset < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
  }

  /** Return the local calendar date: "2023-11-19". */
  day(unixS) {
    return this.iso(unixS).slice(0, 10);
  }

  /** Return the unix seconds of a time written as this event writes it. */
  time(text) {
    const unixS = isText(text) ? Date.parse(text) / 1000 : NaN;
    const sound = Number.isInteger(unixS) && Math.abs(unixS) < 2 ** 42 && this.iso(unixS) === text;
    require(sound, () => `${JSON.stringify(text)} is no time in the event's zone`);
    return unixS;
  }

  /** Return the start of the clock minute (unix seconds) that is written so. */
  window(text) {
    const window = this.time(text);
    require(window % WINDOW_S === 0, () => `${JSON.stringify(text)} is not the start of a clock minute`);
    return window;
  }

  session(id) {
    return this.sessions.find((session) => session.id === id);
  }

  /** Return the ids of the sessions on during a clock minute. */
  scheduledIn(window) {
    return this.sessions.filter((session) => session.windowSet.has(window)).map((session) => session.id);
  }

  /** Return every window in which a session is scheduled, ascending. */
  get scheduled() {
    this.#scheduled ??= [...new Set(this.sessions.flatMap((session) => session.windows))].sort((a, b) => a - b);
    return this.#scheduled;
  }

  /** Return the scheduled windows of a session (number; null = any) on a day (null = any). */
  scheduledOf(session, day) {
    const windows = session === null ? this.scheduled : this.sessions.find((one) => one.number === session).windows;
    return day === null ? windows : windows.filter((window) => this.day(window) === day);
  }
}
