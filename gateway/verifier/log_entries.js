// The entries of the log as values: what may be relied on once an entry has been read without a complaint.

import { fromBase64, isCount, isDigest, require } from "./bytes.js";
import { Issued } from "./corrections.js";
import { readDraw, readResult, readRoll } from "./audit_entries.js";
import { decodeJson, hasExactly, isObject, sameJson } from "./canonical_json.js";
import { Event, WINDOW_S } from "./event.js";
import { IssuerKeys } from "./issuer_keys.js";
import { readLeftOut } from "./left_out.js";

const COUNTS = ["present", "arrived", "background", "views"];

/** Return the log of these entries: its event and, in their order, what the others say. */
export function readEntries(entries) {
  require(entries.length > 0, "the log is empty: not even the event is in it");
  const first = readEntry(0, entries[0]);
  require(first.type === "event" && typeof first.locked_at === "string", "entry 0 is not the event");
  const event = new Event(first.event);
  require(first.event_sha256 === event.digest, "entry 0: event_sha256 is not the digest of the event");
  require(first.simulated === event.simulated, "entry 0 does not say truly whether the event is simulated");
  const log = { event, lockedAt: first.locked_at, pseudonymKeySha256: String(first.pseudonym_key_sha256 ?? ""), leaves: [], windows: new Map(), late: [], steering: [], restored: [],
    retired: [], rolls: [], draws: [], issued: new Issued(), keys: new IssuerKeys(event), lastWindow: -1 };
  entries.slice(1).forEach((raw, at) => {
    const index = at + 1;
    try {
      const entry = readEntry(index, raw);
      require(entry.event_sha256 === event.digest, "it is of another event");
      readLeaf(log, index, entry, raw);
    } catch (error) {
      error.message = error.message.startsWith("entry ") ? error.message : `entry ${index}: ${error.message}`;
      throw error;
    }
  });
  log.ended = log.leaves.length ? log.leaves.reduce((last, { window }) => Math.max(last, window), 0) + WINDOW_S : 0;
  log.scheduledWithoutLeaf = event.scheduled.filter((window) => window < log.lastWindow && !log.windows.has(window));
  return log;
}

/** Return the heartbeat intervals that entries before one announce. */
export const announcedBefore = (log, index) =>
  [log.event.intervalS, ...log.steering.filter((change) => change.index < index).map((change) => change.interval_s)];

function readEntry(index, raw) {
  const entry = decodeJson(raw, `entry ${index}`);
  const known = isObject(entry) && (entry.version === 1 || (entry.type === "window" && entry.version === 2));
  require(known, () => `entry ${index} is of another version than this page knows`);
  return entry;
}

const READERS = {
  window: readWindow,
  late: readLate,
  steering: readSteering,
  "issuer-key": (log, index, entry) => log.keys.take(index, entry, log.lastWindow),
  restored: readRestored,
  retired: readRetired,
  roll: readRoll,
  "audit-draw": readDraw,
  "audit-result": readResult,
  certificate: (log, index, entry) => log.issued.addCertificate(index, entry),
  correction: (log, index, entry) => log.issued.addCorrection(index, entry),
};

function readLeaf(log, index, entry, raw) {
  require(typeof entry.type === "string" && Object.hasOwn(READERS, entry.type),
    () => `unknown type ${JSON.stringify(entry.type)}: this page is older than the log`);
  if (entry.type !== "certificate") require(entry.simulated === log.event.simulated, "it does not say whether it is simulated");
  READERS[entry.type](log, index, entry, raw);
}

function readWindow(log, index, entry, raw) {
  const { event } = log;
  const window = event.window(entry.window);
  require(entry.window_s === WINDOW_S, "its windows are no clock minutes");
  require(sameJson(entry.scheduled, event.scheduledIn(window)), "it names other sessions as scheduled than the event does");
  require(isDigest(entry.manifest_sha256), "it has no manifest");
  require(Array.isArray(entry.missing) && entry.missing.every((worker) => typeof worker === "string"), "its missing workers are no names");
  require(window > log.lastWindow, "its window is not after the window before it");
  require(announcedBefore(log, index).includes(entry.interval_s), `no entry before it announces its interval of ${entry.interval_s} s`);
  checkSketches(event, entry.sketches);
  const leaf = { index, kind: "window", window, intervalS: entry.interval_s, totals: readTotals(event, entry.totals),
    manifestSha256: entry.manifest_sha256, missing: entry.missing, entry, raw, counted: true,
    leftOut: entry.version > 1 ? readLeftOut(event, entry.left_out) : null };
  log.leaves.push(leaf);
  log.windows.set(window, leaf);
  log.lastWindow = window;
}

function readTotals(event, rows) {
  const known = new Set(["", ...event.sessions.map((session) => session.id)]);
  const totals = new Map();
  require(Array.isArray(rows), "its totals are no list");
  for (const row of rows) {
    const suppressed = isObject(row) && Object.hasOwn(row, "suppressed");
    require(hasExactly(row, ["session", "channel", ...COUNTS, ...(suppressed ? ["suppressed"] : [])]), "a row of its totals has other fields than it must");
    require(known.has(row.session) && !totals.has(row.session) && row.channel === "online", "its totals have a row too many");
    if (suppressed) {
      require(row.suppressed === true && COUNTS.every((name) => row[name] === null), "a suppressed row holds counts");
    } else {
      require(COUNTS.every((name) => isCount(row[name])), "a count in its totals is no whole number");
      require(Math.max(row.arrived, row.background) <= row.present, "more attendees arrived or in the background than present");
    }
    totals.set(row.session, row);
  }
  return totals;
}

function checkSketches(event, rows) {
  const seen = new Set();
  require(Array.isArray(rows), "its sketches are no list");
  for (const row of rows) {
    require(hasExactly(row, ["session", "sketch", "registers_sha256", "estimate"]) && isDigest(row.registers_sha256), "a sketch has other fields than it must");
    const key = `${row.session} ${row.sketch}`;
    require(event.session(row.session) && ["attendees", "views"].includes(row.sketch) && !seen.has(key), "it has a sketch too many");
    require(row.estimate === null || isCount(row.estimate), "an estimate is no whole number");
    seen.add(key);
  }
}

function readLate(log, index, entry) {
  const { event } = log;
  require(isDigest(entry.manifest_sha256), "it has no manifest");
  const receivedAt = event.time(entry.received_at);
  const leaf = { index, kind: "late", window: event.window(entry.window), manifestSha256: entry.manifest_sha256, receivedAt,
    counted: receivedAt <= event.lateUntil };
  log.leaves.push(leaf);
  log.late.push(leaf);
}

function readSteering(log, index, entry) {
  const { event, steering } = log;
  const before = steering.at(-1) ?? { interval_s: event.intervalS, revoked: { seats: 0, views: 0 } };
  require(entry.number === steering.length + 1, `it is change ${entry.number} of steering, after ${steering.length}`);
  require(isObject(entry.revoked) && isCount(entry.revoked.seats) && isCount(entry.revoked.views), "how many are revoked is no whole number");
  require(Number.isInteger(entry.interval_s) && entry.interval_s >= 5 && entry.interval_s <= 54, "it announces no heartbeat interval");
  const named = entry.revocations_sha256;
  require(named === null || isDigest(named), "it names its list by no digest");
  const same = before.revoked.seats === entry.revoked.seats && before.revoked.views === entry.revoked.views;
  require(named !== null || (same && before.interval_s !== entry.interval_s), "it names no list of revocations, and yet something else has changed");
  steering.push({ index, at: event.time(entry.at), interval_s: entry.interval_s, revoked: entry.revoked, revocationsSha256: named });
}

function readRestored(log, index, entry) {
  const { event } = log;
  require(entry.number === log.restored.length + 1, `it is restoration ${entry.number}, after ${log.restored.length}`);
  require(Array.isArray(entry.seen), "it does not say who had seen more");
  const seen = entry.seen.map((row) => {
    require([row.size, row.blocks, row.reports].every(isCount), "how far a gateway had seen the ledger is no whole number");
    fromBase64(String(row.root));
    return { gateway: String(row.gateway), size: row.size, root: row.root, reports: row.reports };
  });
  log.restored.push({ index, number: entry.number, since: event.time(entry.since), at: event.time(entry.at), seen });
}

function readRetired(log, index, entry) {
  const { workers } = entry;
  const sound = Array.isArray(workers) && workers.length > 0 && workers.every((worker) => typeof worker === "string");
  require(sound && typeof entry.gateway === "string", "it names no gateway or no workers");
  require(workers.every((worker, at) => at === 0 || workers[at - 1] < worker), "its workers are not in ascending order");
  log.retired.push({ index, gateway: entry.gateway, at: log.event.time(entry.at), workers });
}
