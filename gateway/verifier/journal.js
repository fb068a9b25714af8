// The journal of a window: joins (98 bytes each) and scans (30 bytes each) over one table of texts.

import { compareBytes, require, textOf, viewOf } from "./bytes.js";

const TEXTS = 16;
const JOINS = 17;
const SCANS = 18;
const JOIN_BYTES = 98;
const SCAN_BYTES = 30;
export const TICKET = 1;
export const VIEWING_TOKEN = 2;
const BADGE = 3;
const GUEST = 2;
export const IN = 1;
export const OUT = 2;
/** A join beyond has no day in a calendar. */
const JOIN_TIME_LIMIT_MS = 2 ** 42;

/** Where a join's fields lie; the seven texts are u16 from 84 on, as a scan's three are from 24 on. */
const JOIN_TEXTS_AT = 84;
const SCAN_TEXTS_AT = 24;

/** Return {texts, joins, scans} of a journal segment's sections. */
export function readJournal(sections) {
  const parts = new Map();
  for (const { type, session, bytes } of sections) {
    require([TEXTS, JOINS, SCANS].includes(type) && session === 0, `a journal has no section ${type} for session ${session}`);
    parts.set(type, bytes);
  }
  const part = (type) => parts.get(type) ?? new Uint8Array();
  const texts = readTexts(part(TEXTS));
  const used = new Uint8Array(texts.length);
  const journal = { texts, joins: readJoins(part(JOINS), used), scans: readScans(part(SCANS), used, texts) };
  require(used.every((is) => is === 1), "the records and the table of texts do not belong together");
  return journal;
}

function readTexts(table) {
  const texts = [];
  let before = null;
  for (let at = 0; at < table.length; ) {
    const raw = table.subarray(at + 1, at + 1 + table[at]);
    require(raw.length === table[at], "the table of texts ends within a text");
    require(before === null || compareBytes(before, raw) < 0, "the texts are not in ascending order");
    texts.push(textOf(raw, "a text of a journal"));
    before = raw;
    at += 1 + table[at];
  }
  require(texts.length <= 65536, "more texts than a position can name");
  return texts;
}

function take(view, at, count, used) {
  for (let index = 0; index < count; index++) {
    const position = view.getUint16(at + 2 * index, true);
    require(position < used.length, "a record names a text that is not in the table");
    used[position] = 1;
  }
}

/** Times and views are doubles and halves: a u64 below 2^53 is exact, and a view id is kept as its 8 bytes. */
function readJoins(bytes, used) {
  require(bytes.length % JOIN_BYTES === 0, "a section of records ends within a record");
  const view = viewOf(bytes);
  const joins = [];
  for (let at = 0; at < bytes.length; at += JOIN_BYTES) {
    const [seat, kind, assurance] = [view.getUint32(at, true), bytes[at + 6], bytes[at + 7]];
    const joinedAt = view.getBigUint64(at + 20, true);
    require(seat !== 0 && kind >= TICKET && kind <= BADGE, "a join has no seat or is of no known kind");
    require((assurance === 1 || assurance === GUEST) && joinedAt < BigInt(JOIN_TIME_LIMIT_MS), "a join has no known assurance, or a time beyond all calendars");
    take(view, at + JOIN_TEXTS_AT, 7, used);
    joins.push({
      seat, session: view.getUint16(at + 4, true), kind, guest: assurance === GUEST, filters: view.getUint32(at + 8, true),
      view: view.getBigUint64(at + 12, true), joinedAtMs: Number(joinedAt),
      pseudonymHigh: view.getBigUint64(at + 28), pseudonymLow: view.getBigUint64(at + 36),
      issuer: view.getUint16(at + 84, true), key: view.getUint16(at + 86, true), country: view.getUint16(at + 88, true), category: view.getUint16(at + 90, true),
    });
  }
  return joins;
}

function readScans(bytes, used, texts) {
  require(bytes.length % SCAN_BYTES === 0, "a section of records ends within a record");
  const view = viewOf(bytes);
  const scans = [];
  for (let at = 0; at < bytes.length; at += SCAN_BYTES) {
    const [seat, direction, forced] = [view.getUint32(at, true), bytes[at + 6], bytes[at + 7]];
    require((direction === IN || direction === OUT) && forced <= 1, "a scan has no known direction, or 'forced' is no flag");
    take(view, at + SCAN_TEXTS_AT, 3, used);
    const accepted = texts[view.getUint16(at + 28, true)] === "";
    require(!accepted || seat !== 0, "an accepted scan has no seat");
    scans.push({
      seat, session: view.getUint16(at + 4, true), direction, accepted,
      scannedAtMs: Number(view.getBigUint64(at + 8, true)), receivedAtMs: Number(view.getBigUint64(at + 16, true)),
      gate: texts[view.getUint16(at + 24, true)], nonce: texts[view.getUint16(at + 26, true)],
    });
  }
  return scans;
}
