// Manifests: what a leaf stands on, rebuilt from the segments that it names. docs/formats.md#manifest.

import { isCount, isDigest, require } from "./bytes.js";
import { decodeJson, hasExactly, sameJson } from "./canonical_json.js";
import { WINDOW_S } from "./event.js";
import { pack, raise } from "./hyperloglog.js";
import { checkCoverage, isWanting } from "./segment.js";
import { Seats } from "./seats.js";
import { sha256Hex } from "./sha256.js";

const MEMBERS = ["type", "version", "event_sha256", "window", "window_s", "interval_s", "evidence", "coverage", "missing",
  "registers", "software"];
const HIGHEST_BLOCK = 32767;

const ascending = (list, key = (one) => one) => list.every((one, at) => at === 0 || key(list[at - 1]) < key(one));

/** Return the manifest in a file, well-formed; whether it is true of its segments is `checkManifest`'s to say. */
export function readManifest(bytes) {
  const manifest = decodeJson(bytes, "a manifest");
  const { version } = manifest;
  require(version === 1 || version === 2, "a manifest of another version");
  require(hasExactly(manifest, version === 1 ? MEMBERS : [...MEMBERS, "granted"]) && manifest.type === "manifest", "no manifest, or one with other members than it must have");
  require(manifest.window_s === WINDOW_S && isCount(manifest.interval_s), "a manifest of other windows");
  const files = manifest.evidence;
  const sound = Array.isArray(files) && files.every((file) => hasExactly(file, ["sha256", "kind", "bytes", "gateway"]) && isDigest(file.sha256));
  require(sound && ascending(files, (file) => file.sha256), "the files of evidence are not in ascending order");
  require(Array.isArray(manifest.missing) && manifest.missing.every((worker) => typeof worker === "string"), "the missing workers are no names");
  require(typeof manifest.software === "string", "software is not text");
  checkCoverage(manifest.coverage, version);
  if (version > 1) checkGranted(manifest.granted);
  return manifest;
}

function checkGranted(rows) {
  require(Array.isArray(rows) && rows.every((row) => hasExactly(row, ["worker", "since", "blocks"])), "the seats granted are no list");
  for (const row of rows) {
    const { blocks } = row;
    const sound = typeof row.worker === "string" && isCount(row.since) && Array.isArray(blocks) && blocks.length > 0;
    require(sound && blocks.every(isCount) && ascending(blocks) && blocks.at(-1) <= HIGHEST_BLOCK, "seats were granted to nobody, or in no blocks");
  }
  require(ascending(rows, (row) => row.worker), "the workers to whom seats were granted are not in ascending order");
}

/**
 * Return by session number who was present, as all gateways together saw it: {playing, background, attendees, views}.
 * A seat is in the background if no gateway heard it in the foreground.
 */
export function mergePresence(segments) {
  const merged = new Map();
  for (const { sessions } of segments) {
    for (const { number, playing, background, attendees, views } of sessions) {
      const here = merged.get(number);
      const foreground = playing.minus(background);
      if (!here) merged.set(number, { playing: playing.copy(), foreground, attendees: attendees.slice(), views: views.slice() });
      else {
        here.playing.absorb(playing);
        here.foreground.absorb(foreground);
        raise(here.attendees, attendees);
        raise(here.views, views);
      }
    }
  }
  for (const here of merged.values()) here.background = here.playing.minus(here.foreground);
  return merged;
}

/** Return [session id, name, registers] of each sketch that is not empty, by session id and name. */
export function sketchesOf(event, merged) {
  const byId = [...event.sessions].sort((a, b) => (a.id < b.id ? -1 : 1));
  return byId.flatMap((session) => {
    const here = merged.get(session.number);
    if (!here) return [];
    return ["attendees", "views"].map((name) => [session.id, name, here[name]]).filter(([, , registers]) => registers.some((rank) => rank > 0));
  });
}

/** What orders coverage rows: these fields one after the other. */
function coverageOrder(row) {
  const offset = row.clock_offset_ms ?? null;
  return [row.worker, row.from_ms, row.until_ms, row.records, row.gateway, row.synced_until_ms, Number(row.crashed),
    Number(row.unreadable ?? false), Number(offset !== null), offset ?? 0];
}

function byFields(one, other) {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return one[at] < other[at] ? -1 : 1;
  return 0;
}

/** Throw unless a manifest describes just these files ({sha256, bytes, segment}) and no others. */
export function checkManifest(event, leaf, manifest, files, merged) {
  for (const { segment } of files) {
    require(segment.head.event_sha256 === event.digest, "a segment is evidence of another event");
    require(segment.head.window === leaf.window, "a segment is of another window");
  }
  const rows = files.flatMap(({ segment }) => segment.head.workers.map((row) => ({ row: withVersion(row, manifest.version), order: coverageOrder(row) })));
  rows.sort((one, other) => byFields(one.order, other.order));
  const coverage = rows.filter(({ order }, at) => at === 0 || byFields(rows[at - 1].order, order) !== 0).map(({ row }) => row);
  const wanting = new Set([...manifest.missing, ...coverage.filter(isWanting).map((row) => row.worker)]);
  const rebuilt = {
    type: "manifest", version: manifest.version, event_sha256: event.digest, window: event.iso(leaf.window),
    window_s: WINDOW_S,
    interval_s: files.length ? Math.max(...files.map(({ segment }) => segment.head.interval_s)) : event.intervalS,
    evidence: files.map(({ sha256, bytes, segment }) => ({ sha256, kind: segment.kind, bytes, gateway: segment.head.gateway })),
    coverage,
    missing: [...manifest.missing].sort(),
    registers: sketchesOf(event, merged).map(([session, sketch, registers]) => ({ session, sketch, sha256: sha256Hex(pack(registers)) })),
    software: manifest.software,
  };
  if (manifest.version > 1) rebuilt.granted = manifest.granted.filter((row) => wanting.has(row.worker));
  require(sameJson(rebuilt, manifest), "its manifest does not describe the segments that it names");
}

/** A row of an older segment, as a newer manifest writes it, and the other way about. */
function withVersion(row, version) {
  const { clock_offset_ms = null, unreadable = false, ...older } = row;
  return version > 1 ? { ...older, clock_offset_ms, unreadable } : older;
}

/** Return everybody in these sets. */
export const everybody = (sets) => sets.reduce((all, set) => all.absorb(set), new Seats());
