// What the evidence lacks, as a certificate prints it beside the gaps that the leaves show; but not the bounds, which
// this page does not recompute.

import { WINDOW_S } from "./event.js";
import { encodeJson } from "./canonical_json.js";
import { textOf } from "./bytes.js";

const TICK_S = 1;
const LONGEST_INTERVAL_S = 54;

/** Return the members of `gaps` that only evidence shows. */
export function gapsInEvidence(log, found, counted) {
  const { event } = log;
  const coverage = distinct(found.coverage);
  const crashed = coverage.filter(({ row }) => row.crashed);
  const rows = new Map();
  for (const { window, row } of coverage) rows.set(window, [...(rows.get(window) ?? []), row]);
  const uncovered = event.scheduled.filter((window) => log.windows.has(window))
    .map((window) => [window, uncoveredS(window, rows.get(window) ?? [])])
    .filter(([, seconds]) => seconds > TICK_S);
  return {
    scheduled_windows_not_wholly_covered: uncovered.map(([window, seconds]) => ({ window: event.iso(window), uncovered_s: seconds })),
    crashed_workers: crashed.map(({ window, row }) => ({ window: event.iso(window), worker: row.worker, gateway: row.gateway })),
    unsynced_intervals: crashed.filter(({ row }) => row.synced_until_ms < row.until_ms).map(({ window, row }) => (
      { window: event.iso(window), worker: row.worker, from_ms: row.synced_until_ms, until_ms: row.until_ms })),
    windows_with_interval_over_54_s: [...found.intervals].filter(([, intervalS]) => intervalS > LONGEST_INTERVAL_S)
      .map(([window]) => window).sort((a, b) => a - b).map((window) => event.iso(window)),
    attendees_present_without_journal_entry: counted.withoutJournal,
    seats_with_contradictory_pseudonyms: counted.roll.contradictorySeats,
    session_numbers_not_in_the_event: [...found.unknownSessions].sort((a, b) => a - b),
    scans_more_than_a_day_from_the_event: counted.outsideEvent,
  };
}

/** Each row of coverage once for its window, in the order of the log. */
function distinct(coverage) {
  const rows = new Map();
  for (const { window, row } of coverage) {
    const { clock_offset_ms = null, unreadable = false, ...older } = row;
    const name = `${window} ${textOf(encodeJson({ ...older, clock_offset_ms, unreadable }), "a row")}`;
    if (!rows.has(name)) rows.set(name, { window, row });
  }
  return [...rows.values()];
}

/** Return for how many seconds of a window none of these workers was there. */
function uncoveredS(window, rows) {
  let reached = window * 1000;
  let uncovered = 0;
  for (const row of [...rows].sort((one, other) => one.from_ms - other.from_ms)) {
    uncovered += Math.max(row.from_ms - reached, 0);
    reached = Math.max(reached, row.until_ms);
  }
  return (uncovered + Math.max((window + WINDOW_S) * 1000 - reached, 0)) / 1000;
}
