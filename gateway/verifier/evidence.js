// From the log to the evidence behind it: every file by its digest, every leaf rebuilt, and what all of it together says.
// Files are read one at a time, twice: first in the order of the log, to check them and to learn who is who; then window
// by window, to count.

import { require, sameBytes } from "./bytes.js";
import { decodeJson, hasExactly } from "./canonical_json.js";
import { Attendance, viewsOf } from "./attendance.js";
import { SketchUnions } from "./cross_check.js";
import { groupsOf, partition, Numbers } from "./numbers.js";
import { ExclusionsSoFar, rebuildLeaf } from "./leaf.js";
import { KeysOfJoins } from "./keys_of_joins.js";
import { announcedBefore } from "./log_entries.js";
import { checkManifest, mergePresence, readManifest } from "./manifest.js";
import { OnsiteSweep, staysOf } from "./onsite.js";
import { Roll, UNKNOWN } from "./roll.js";
import { Seats } from "./seats.js";
import { readSegment } from "./segment.js";
import { sha256Hex } from "./sha256.js";
import { WINDOW_S } from "./event.js";

const FIRST_VIEW_ID = 1n << 32n;

/** Reads evidence by its digest. `folder` is {has(name), read(name) → bytes or null}. */
class Store {
  files = 0;
  bytes = 0;

  constructor(folder) {
    this.folder = folder;
  }

  async checked(digest) {
    const bytes = await this.read(digest);
    require(sha256Hex(bytes) === digest, `evidence ${digest} was changed: its bytes have another digest`);
    this.files += 1;
    this.bytes += bytes.length;
    return bytes;
  }

  async read(digest) {
    const bytes = await this.folder.read(digest);
    require(bytes !== null, `evidence ${digest} is not in the folder`);
    return bytes;
  }
}

const inWords = (log, leaf, error) => `entry ${leaf.index}, window ${log.event.iso(leaf.window)}: ${error.message}`;

/** Return what a leaf stands on: {manifest, presence, journals, merged}, each file checked against its digest. */
async function readLeafEvidence(log, leaf, store) {
  const manifest = readManifest(await store.checked(leaf.manifestSha256));
  const files = [];
  for (const { sha256 } of manifest.evidence) {
    const bytes = await store.checked(sha256);
    files.push({ sha256, bytes: bytes.length, segment: readSegment(bytes) });
  }
  const presence = files.map(({ segment }) => segment).filter(({ kind }) => kind === "presence");
  const journals = files.filter(({ segment }) => segment.kind === "journal").map(({ sha256, segment }) => ({ ...segment, sha256 }));
  const merged = mergePresence(presence);
  checkManifest(log.event, leaf, manifest, files, merged);
  require(announcedBefore(log, leaf.index).includes(manifest.interval_s), "no entry before it announces its interval");
  return { manifest, manifestSha256: leaf.manifestSha256, presence, journals, merged };
}

/** The first reading: everything checked, in the order of the log; returns what counting needs of it. */
export async function checkEvidence(log, folder, told) {
  const store = new Store(folder);
  await checkRevocations(log, store);
  const known = new Set(log.event.sessions.map(({ number }) => number));
  const exclusions = new ExclusionsSoFar(log.event);
  const found = { store, keysOfJoins: new KeysOfJoins(log), journals: [], intervals: new Map(), coverage: [], present: new Seats(), unknownSessions: new Set(),
    sketches: new SketchUnions(log.event, log.late.filter((leaf) => leaf.counted).map((leaf) => leaf.window)) };
  let before = { window: -1, merged: new Map() };
  let done = 0;
  for (const leaf of log.leaves) {
    try {
      const evidence = await readLeafEvidence(log, leaf, store);
      exclusions.add(evidence.journals);
      found.keysOfJoins.take(leaf, evidence.journals);
      if (leaf.kind === "window") {
        exclusions.leaveOut(evidence.journals);
        const earlier = before.window === leaf.window - WINDOW_S ? before.merged : new Map();
        const rebuilt = rebuildLeaf(log.event, leaf.window, evidence, earlier, exclusions, leaf.entry.version);
        require(sameBytes(rebuilt, leaf.raw), "its evidence gives another leaf");
        before = { window: leaf.window, merged: evidence.merged };
      }
      takeIn(found, leaf, evidence, known);
    } catch (error) {
      error.message = inWords(log, leaf, error);
      throw error;
    }
    await told(++done, 2 * log.leaves.length);
  }
  return found;
}

function takeIn(found, leaf, { manifest, presence, journals, merged }, known) {
  found.coverage.push(...manifest.coverage.map((row) => ({ window: leaf.window, row })));
  if (!leaf.counted) return;
  for (const [number, { playing }] of merged) {
    if (known.has(number)) found.present.absorb(playing);
    else found.unknownSessions.add(number);
  }
  for (const { joins } of journals) for (const { session } of joins) if (session && !known.has(session)) found.unknownSessions.add(session);
  for (const { head } of [...presence, ...journals]) {
    found.intervals.set(head.window, Math.max(head.interval_s, found.intervals.get(head.window) ?? 0));
  }
  found.journals.push(...journals.map(({ texts, joins, scans }) => ({ texts, joins, scans })));
  found.sketches.add(leaf.window, merged);
}

/** The lists of who was turned away, one change after the other. */
async function checkRevocations(log, store) {
  const revoked = new Set();
  for (const change of log.steering) {
    if (change.revocationsSha256 !== null) await applyChange(log, change, revoked, store);
    const seats = [...revoked].filter((id) => id < FIRST_VIEW_ID).length;
    const same = seats === change.revoked.seats && revoked.size - seats === change.revoked.views;
    require(same, `entry ${change.index}: its lists give other numbers of revoked seats and views`);
  }
}

async function applyChange(log, change, revoked, store) {
  const document = decodeJson(await store.checked(change.revocationsSha256), "a list of revocations");
  const members = ["type", "version", "event_sha256", "salt", "revoked", "restored"];
  const sound = hasExactly(document, members) && document.type === "revocations" && document.version === 1
    && document.event_sha256 === log.event.digest && /^[0-9a-f]{32}$/.test(document.salt);
  require(sound, `entry ${change.index} names no list of revocations of this event`);
  const [added, restored] = [readIds(document.revoked), readIds(document.restored)];
  const fits = added.every((id) => !revoked.has(id)) && restored.every((id) => revoked.has(id)) && added.length + restored.length > 0;
  require(fits, `entry ${change.index} revokes what was revoked, or restores what was not`);
  added.forEach((id) => revoked.add(id));
  restored.forEach((id) => revoked.delete(id));
}

function readIds(listed) {
  require(hasExactly(listed, ["seats", "views"]) && Array.isArray(listed.seats) && Array.isArray(listed.views), "revocations are no lists");
  const seats = listed.seats.map((seat) => (Number.isInteger(seat) && seat > 0 ? BigInt(seat) : FIRST_VIEW_ID));
  const views = listed.views.map((view) => (/^[0-9a-f]{16}$/.test(view) ? BigInt(`0x${view}`) : 0n));
  const rising = (ids) => ids.every((id, at) => at === 0 || ids[at - 1] < id);
  const sound = seats.every((id) => id < FIRST_VIEW_ID) && views.every((id) => id >= FIRST_VIEW_ID) && rising(seats) && rising(views);
  require(sound, "revocations are not in ascending order, or no seats and views");
  return [...seats, ...views];
}

/** The second reading: return {attendance, views, numbers, …}: all that the evidence says about attendance. */
export async function countAttendance(log, found, told) {
  const { event } = log;
  const roll = new Roll(event, found.journals).withoutInvalid(event, found.journals);
  const { stays, outsideEvent } = staysOf(event, found.journals, roll);
  const everyone = roll.canonical(found.present).copy();
  stays.forEach(({ seat }) => everyone.add(seat));
  const counted = roll.people(everyone);
  const countries = partition(roll, roll.countries, counted, UNKNOWN);
  const namespaces = partition(roll, roll.namespaces, counted, onlyNamespace(event));
  const attendance = new Attendance(event, roll, groupsOf(countries, namespaces));
  const leaves = new Map();
  for (const leaf of log.leaves.filter((one) => one.counted)) leaves.set(leaf.window, [...(leaves.get(leaf.window) ?? []), leaf]);
  const windows = [...new Set([...leaves.keys(), ...OnsiteSweep.windows(stays)])].sort((a, b) => a - b);
  const sweep = new OnsiteSweep(stays);
  let done = 0;
  for (const window of windows) {
    const online = await presentOnline(log, found.store, leaves.get(window) ?? [], roll);
    attendance.add(window, online, sweep.at(window), found.intervals.get(window) ?? event.intervalS);
    await told(windows.length + ++done, 2 * windows.length);
  }
  const views = viewsOf(event, found.journals, roll);
  return { attendance, roll, views, outsideEvent, withoutJournal: everyone.minus(roll.identified).size,
    numbers: new Numbers(log, attendance, views, countries, namespaces) };
}

/** Return who was online in a window by session number, as canonical seats. */
async function presentOnline(log, store, leaves, roll) {
  const online = new Map();
  const known = new Set(log.event.sessions.map(({ number }) => number));
  for (const leaf of leaves) {
    const manifest = readManifest(await store.read(leaf.manifestSha256));
    for (const file of manifest.evidence.filter(({ kind }) => kind === "presence")) {
      for (const { number, playing } of readSegment(await store.read(file.sha256)).sessions) {
        if (!known.has(number)) continue;
        if (!online.has(number)) online.set(number, new Seats());
        online.get(number).absorb(playing);
      }
    }
  }
  return new Map([...online].map(([number, seats]) => [number, roll.canonical(seats)]));
}

function onlyNamespace(event) {
  const names = new Set(event.issuers.map(({ namespace }) => namespace));
  return names.size === 1 ? [...names][0] : "";
}
