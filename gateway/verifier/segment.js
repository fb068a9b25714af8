// Segments of evidence: the container with its header, and who was present in a window. docs/formats.md#segment.

import { isCount, isDigest, require, viewOf } from "./bytes.js";
import { decodeJson, hasExactly, isObject } from "./canonical_json.js";
import { WINDOW_S } from "./event.js";
import { readRegisters } from "./hyperloglog.js";
import { readJournal } from "./journal.js";
import { readSeats } from "./roaring.js";
import { Seats } from "./seats.js";

const MAGIC = [..."TURNSEG\0"].map((letter) => letter.charCodeAt(0));
const KINDS = { 1: "presence", 2: "journal" };
const HEADER = ["event_sha256", "gateway", "window", "interval_s", "workers"];
const COVERAGE = ["worker", "gateway", "from_ms", "until_ms", "synced_until_ms", "crashed", "records"];
const SINCE_VERSION_2 = ["clock_offset_ms", "unreadable"];
const PLAYING = 1;
const BACKGROUND = 2;
const ATTENDEES = 3;
const VIEWS = 4;

/** Throw unless these are the coverage rows of a header or manifest of a version. */
export function checkCoverage(rows, version) {
  require(Array.isArray(rows), "coverage is no list");
  for (const row of rows) {
    require(hasExactly(row, version > 1 ? [...COVERAGE, ...SINCE_VERSION_2] : COVERAGE), "a coverage row has other fields than it must");
    require([row.worker, row.gateway].every((name) => typeof name === "string"), "a coverage row has no names");
    require(typeof row.crashed === "boolean", "'crashed' is neither true nor false");
    require([row.from_ms, row.until_ms, row.synced_until_ms, row.records].every(isCount), "a coverage row holds no whole numbers");
    if (version === 1) continue;
    require(row.clock_offset_ms === null || Number.isSafeInteger(row.clock_offset_ms), "a clock's offset is no whole number");
    require(typeof row.unreadable === "boolean" && !(row.unreadable && row.records), "an unreadable worker has records");
  }
}

/** Whether some of what this worker accepted may not be in the evidence. */
export const isWanting = (row) => row.unreadable === true || (row.crashed && row.synced_until_ms < row.until_ms);

/** Return {kind, version, head, …}: `refusals` and `sessions` of presence, `texts`, `joins`, `scans` of a journal. */
export function readSegment(bytes) {
  require(bytes.length >= 16 && MAGIC.every((byte, at) => bytes[at] === byte), "this is no segment: wrong magic");
  const view = viewOf(bytes);
  const version = view.getUint16(8, true);
  const kind = KINDS[view.getUint16(10, true)];
  require((version === 1 || version === 2) && kind, "unknown segment version or kind");
  const end = 16 + view.getUint32(12, true);
  require(end <= bytes.length, "the header runs past the end");
  const head = decodeJson(bytes.subarray(16, end), "the header of a segment");
  require(hasExactly(head, kind === "presence" ? [...HEADER, "refusals"] : HEADER), "the header has other fields than it must");
  require(isDigest(head.event_sha256) && typeof head.gateway === "string", "the header names no event or no gateway");
  require(isCount(head.window) && head.window % WINDOW_S === 0 && isCount(head.interval_s) && head.interval_s > 0, "the header's window is no clock minute");
  checkCoverage(head.workers, version);
  const sections = readSections(bytes, view, end);
  const body = kind === "presence" ? readPresence(head, sections) : readJournal(sections);
  return { kind, version, head, ...body };
}

function readSections(bytes, view, at) {
  const sections = [];
  let before = -1;
  while (at < bytes.length) {
    require(at + 8 <= bytes.length, "a section's head runs past the end");
    const [type, session] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    const start = at + 8;
    at = start + view.getUint32(at + 4, true);
    require(at <= bytes.length, "a section runs past the end");
    require(type * 65536 + session > before, "sections are not in ascending order");
    require(at > start, "a section is empty");
    before = type * 65536 + session;
    sections.push({ type, session, bytes: bytes.subarray(start, at) });
  }
  return sections;
}

function readPresence(head, sections) {
  const { refusals } = head;
  require(isObject(refusals) && Object.values(refusals).every((count) => isCount(count) && count > 0), "the refusals are no counts");
  const parts = new Map();
  for (const { type, session, bytes } of sections) {
    require(type >= PLAYING && type <= VIEWS && session > 0, `a presence segment has no section ${type} for session ${session}`);
    if (!parts.has(session)) parts.set(session, new Map());
    parts.get(session).set(type, bytes);
  }
  const sessions = [...parts.keys()].sort((a, b) => a - b).map((number) => readSession(number, parts.get(number)));
  return { refusals, sessions };
}

function readSession(number, parts) {
  const set = (type) => (parts.has(type) ? readSeats(parts.get(type)) : new Seats());
  const [playing, background] = [set(PLAYING), set(BACKGROUND)];
  require(!playing.has(0), "seat 0 does not exist");
  require(background.isSubsetOf(playing), "a seat is in the background without being present");
  const registers = (type) => readRegisters(parts.get(type) ?? new Uint8Array());
  return { number, playing, background, attendees: registers(ATTENDEES), views: registers(VIEWS) };
}
