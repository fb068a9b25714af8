// What gaps may hide, against the log: gaps that leaves show are there, and nothing is bounded of which nobody knows.

import { isCount, require } from "./bytes.js";
import { WINDOW_S } from "./event.js";
import { requireOnly } from "./told.js";

const BOUNDLESS = ["no-leaf", "log-restored"];
const BY_LOG = [...BOUNDLESS, "late-not-counted"];
const KNOWN = [...BY_LOG, "worker-missing", "unreadable", "unsynced", "nobody-there", "clock", "no-journal"];

export function checkGapRows({ log, event, document, below, words }) {
  const said = document.gaps.bounds;
  requireOnly(said, ["statement", "rows"], "what gaps may hide says something else than what it is");
  require(said.statement === words.gap_bounds, "what gaps may hide says something else than what it is");
  for (const row of said.rows) {
    requireOnly(row, ["gap", "window", "seconds", "worker", "gateway", "more_people_at_most", "fewer_people_at_most"], "there is no such gap");
    require(KNOWN.includes(row.gap), "there is no such gap");
    const people = [row.more_people_at_most, row.fewer_people_at_most];
    const sound = people.every((each) => each === null || (isCount(each) && (each === 0 || each >= below)));
    require(sound, `the gap ${row.gap} hides no whole number of people, or so few that none may be told`);
    require(!BOUNDLESS.includes(row.gap) || people[0] === null, `nobody knows what the gap ${row.gap} hides, and yet it is bounded`);
    require(people[1] !== null, `the gap ${row.gap} may take away more people than were counted`);
  }
  const named = (gap, window) => `${gap} in the window ${window}`;
  const seen = new Set([
    ...log.scheduledWithoutLeaf.map((window) => named("no-leaf", event.iso(window))),
    ...log.restored.map(({ since }) => named("log-restored", event.iso(since - (since % WINDOW_S)))),
    ...log.late.filter(({ counted }) => !counted).map(({ window }) => named("late-not-counted", event.iso(window))),
  ]);
  const shown = new Set(said.rows.filter(({ gap }) => BY_LOG.includes(gap)).map(({ gap, window }) => named(gap, window)));
  for (const gap of seen) require(shown.has(gap), `the log shows the gap ${gap}, and the certificate does not say what it hides`);
  for (const gap of shown) require(seen.has(gap), `the log shows no gap ${gap}`);
  const bounded = document.numbers.filter((row) => Object.hasOwn(row, "bounds_with_gaps") || (row.value !== null && Object.hasOwn(row, "bounds")));
  require(!bounded.length || said.rows.length > 0, `${bounded.length} numbers have bounds, and there is no gap`);
}
