// The leaf of a window, rebuilt from its segments byte for byte. docs/formats.md#leaves.

import { encodeJson } from "./canonical_json.js";
import { WINDOW_S } from "./event.js";
import { estimate, pack } from "./hyperloglog.js";
import { IN, VIEWING_TOKEN } from "./journal.js";
import { leftOutSoFar } from "./left_out.js";
import { everybody, sketchesOf } from "./manifest.js";
import { Seats } from "./seats.js";
import { sha256Hex } from "./sha256.js";

/** Which seats the journals read so far exclude: a seat's first identity in the log decides. */
export class ExclusionsSoFar {
  #known = new Set();

  constructor(event) {
    this.categories = new Set(event.excludeCategories);
    this.excluded = new Seats();
    this.leftOut = new Map(); // session number -> views that excluded seats opened in the windows so far
  }

  /** Take in the journals of the next leaf, late leaves included. */
  add(journals) {
    if (!this.categories.size) return;
    const first = new Map(); // seat -> [time, barred] of its first identity here; of two in a millisecond, the one that counts
    for (const { texts, joins } of journals) {
      for (const join of joins) {
        if (join.kind === VIEWING_TOKEN) continue;
        const barred = this.categories.has(texts[join.category]);
        const before = first.get(join.seat);
        const earlier = !before || join.joinedAtMs < before[0] || (join.joinedAtMs === before[0] && before[1] && !barred);
        if (earlier) first.set(join.seat, [join.joinedAtMs, barred]);
      }
    }
    for (const [seat, [, barred]] of first) {
      if (barred && !this.#known.has(seat)) this.excluded.add(seat);
      this.#known.add(seat);
    }
  }

  /** Take in which views the next window leaves out, after `add`. */
  leaveOut(journals) {
    for (const [session, views] of viewsOpened(journals, (seat) => this.excluded.has(seat))) {
      this.leftOut.set(session, (this.leftOut.get(session) ?? 0) + views.size);
    }
  }
}

function viewsOpened(journals, counts) {
  const views = new Map(); // session number -> view ids
  for (const { joins } of journals) {
    for (const join of joins) {
      if (join.view === 0n || !counts(join.seat)) continue;
      if (!views.has(join.session)) views.set(join.session, new Set());
      views.get(join.session).add(join.view);
    }
  }
  return views;
}

function totalsRow(event, session, playing, previous, background, views) {
  const present = playing.size;
  const row = { session, channel: "online", present, arrived: present - playing.sizeAnd(previous), background: background.size, views };
  const people = present || views;
  if (people === 0 || people >= event.suppressBelow) return row;
  return { ...row, present: null, arrived: null, background: null, views: null, suppressed: true };
}

function totalsOf(event, merged, before, journals, excluded) {
  const people = (set) => (set ? set.minus(excluded).removeGuests() : new Seats());
  const views = viewsOpened(journals, (seat) => !excluded.has(seat));
  const viewsOf = (session) => views.get(session.number)?.size ?? 0;
  const parts = event.sessions.map((session) => {
    const here = merged.get(session.number);
    return { session, playing: people(here?.playing), background: people(here?.background), previous: people(before.get(session.number)?.playing) };
  });
  const playing = everybody(parts.map((part) => part.playing));
  const foreground = everybody(parts.map((part) => part.playing.minus(part.background)));
  const previous = everybody(parts.map((part) => part.previous));
  const opened = event.sessions.reduce((sum, session) => sum + viewsOf(session), 0);
  const rows = [totalsRow(event, "", playing, previous, playing.minus(foreground), opened)];
  for (const part of parts) rows.push(totalsRow(event, part.session.id, part.playing, part.previous, part.background, viewsOf(part.session)));
  return rows.filter((row) => row.present !== 0 || row.views !== 0);
}

function scansOf(journals) {
  const counts = { in: 0, out: 0, refused: 0 };
  for (const { scans } of journals) {
    for (const scan of scans) counts[!scan.accepted ? "refused" : scan.direction === IN ? "in" : "out"] += 1;
  }
  return counts;
}

function refusalsOf(presence) {
  const counts = new Map();
  for (const { refusals } of presence) for (const [label, count] of Object.entries(refusals)) counts.set(label, (counts.get(label) ?? 0) + count);
  return Object.fromEntries(counts);
}

/**
 * Return the bytes of a window's leaf.
 *
 * `before` is who was present by session in the clock minute before, if the log holds its leaf right before this one;
 * `exclusions` those after this window's journals. A leaf of version 1 does not say how many views were left out so far.
 */
export function rebuildLeaf(event, window, { presence, journals, merged, manifest, manifestSha256 }, before, exclusions, version) {
  const totals = totalsOf(event, merged, before, journals, exclusions.excluded);
  const shown = new Set(totals.filter((row) => !row.suppressed).map((row) => row.session));
  return encodeJson({
    ...(version > 1 ? { left_out: leftOutSoFar(event, exclusions.leftOut) } : {}),
    type: "window", version, event_sha256: event.digest, window: event.iso(window), window_s: WINDOW_S,
    interval_s: manifest.interval_s, scheduled: event.scheduledIn(window), totals,
    scans: scansOf(journals), refusals: refusalsOf(presence),
    sketches: sketchesOf(event, merged).map(([session, sketch, registers]) => ({
      session, sketch, registers_sha256: sha256Hex(pack(registers)), estimate: shown.has(session) ? estimate(registers) : null })),
    manifest_sha256: manifestSha256, missing: manifest.missing, simulated: event.simulated, software: manifest.software,
  });
}
