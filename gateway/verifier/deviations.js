// The cross-check against the leaves: what is said of the two paths must be what estimates and counts there allow.

import { isCount, require } from "./bytes.js";
import { hasExactly, sameJson } from "./canonical_json.js";
import { LARGEST_USUAL, RUNNING, deviation, interval95 } from "./cross_check.js";
import { WINDOW_S } from "./event.js";
import { requireOnly } from "./told.js";

const RULE = "unique-attendees-online";
const COMPARED = ["estimate", "exact", "difference_in_standard_errors"];
const RUNS = "over_5_standard_errors_in_3_windows_running";
/** A printed deviation is rounded to three decimals. */
const TOLERANCE = 0.001;

export function checkDeviations(told) {
  const said = told.document.cross_check;
  const fixed = { statement: told.words.cross_check, rule: RULE, unit: "identities", standard_error: 0.008125 };
  requireOnly(said, [...Object.keys(fixed), "unions", "windows"], "the certificate's 'cross_check' says something else than what it compares");
  const same = Object.entries(fixed).every(([name, value]) => said[name] === value);
  require(same, "the certificate's 'cross_check' says something else than what it compares");
  checkUnions(told, said.unions);
  checkWindows(told, said.windows);
}

/** How many identities are in gross counts and not in the leaves', by what the certificate says of them. */
const othersOf = ({ document: { exclusions } }) => exclusions.excluded + exclusions.guests;

const wronglyCompared = ({ estimate, exact, difference_in_standard_errors: said }) => deviation(estimate, exact).rounded(3) !== said;

function checkUnions(told, rows) {
  const { event } = told;
  const scopes = rows.map(({ scope: { channel, ...scope } }) => scope);
  const sessions = [{}, ...event.sessions.map(({ id }) => ({ session: id }))];
  const days = scopes.slice(sessions.length).map(({ day }) => day);
  const inOrder = days.every((day) => typeof day === "string") && sameJson(days, [...new Set(days)].sort());
  const there = told.leavesOf("").filter(([, row]) => row.present).map(([window]) => event.day(window));
  const whole = sameJson(scopes.slice(0, sessions.length), sessions) && inOrder && there.every((day) => days.includes(day));
  require(whole, "the cross-check is not of the event, each of its sessions and each day");
  rows.forEach((row, at) => checkUnion(told, row, scopes[at]));
}

function checkUnion(told, row, scope) {
  const where = Object.values(scope).join(" ") || "the event";
  const suppressed = Object.hasOwn(row, "suppressed");
  const members = hasExactly(row, ["scope", ...COMPARED, suppressed ? "suppressed" : "interval95"]) && row.scope.channel === "online";
  require(members, `the cross-check of ${where} has other members than it must`);
  const number = told.printed(RULE, scope);
  const net = Array.isArray(number) ? number[1] : number;
  if (suppressed) {
    const silent = row.suppressed === true && row.estimate === null && row.exact === null;
    require(silent && where !== "the event" && (net === null || net < told.below), `the cross-check of ${where} is withheld, and must not be`);
    return;
  }
  const compared = isCount(row.estimate) && isCount(row.exact) && !wronglyCompared(row);
  require(compared, `the cross-check of ${where}: the difference is not that of estimate and exact count`);
  require(sameJson(row.interval95, interval95(row.estimate)), `the cross-check of ${where}: the interval is not that of the estimate`);
  require(!told.isWithheld(RULE, scope), `the cross-check of ${where} tells what is withheld as ${RULE}`);
  const within = net === null || (net <= row.exact && row.exact <= net + othersOf(told));
  require(within, `the cross-check of ${where} counts ${row.exact} online, ${RULE} ${net} of them`);
}

/** Between what and what the deviations are that leaves show, in standard errors, unsigned. */
class Leaves {
  constructor(told) {
    this.told = told;
    this.rows = new Set();
    this.unsure = new Set(); // withheld, and without a sketch: nobody with a few views, or a few people whose sketch was lost
    this.between = new Map(); // "window session" -> [least, most]
    for (const { id } of told.event.sessions) {
      for (const [window, { present }, leaf] of told.leavesOf(id)) {
        const guess = estimateIn(leaf, id);
        if (guess === undefined && present === 0) continue;
        const place = `${window} ${id}`;
        (guess !== undefined || present ? this.rows : this.unsure).add(place);
        const exact = this.exact(window, id);
        if (guess === null || exact === null) continue;
        const ends = exact.map((each) => Math.abs(asNumber(deviation(guess ?? 0, each))));
        const inside = exact[0] <= (guess ?? 0) && (guess ?? 0) <= exact[1];
        this.between.set(place, [inside ? 0 : Math.min(...ends), Math.max(...ends)]);
      }
    }
  }

  /** Return between what and what the exact count is; null if late evidence is of that window. */
  exact(window, session) {
    const { log, event, below, differences } = this.told;
    const leaf = log.windows.get(window);
    if (!leaf || differences.late.has(window)) return null;
    const { present } = leaf.totals.get(session) ?? { present: 0 };
    const [least, most] = present === null ? [0, below - 1] : [present, present];
    // Leaves leave out a seat of an excluded category, and its attendee may count by another.
    const more = event.excludeCategories.length ? differences.aliases : 0;
    return [Math.max(least - differences.aliases, 0), most + more + othersOf(this.told)];
  }

  mayBeOver(window, session, limit) {
    const here = this.between.get(`${window} ${session}`);
    return here ? here[1] > limit : this.rows.has(`${window} ${session}`) || this.told.differences.late.has(window);
  }

  isOver(window, session, limit) {
    return (this.between.get(`${window} ${session}`)?.[0] ?? 0) > limit;
  }
}

const estimateIn = (leaf, session) => leaf.entry.sketches.find((row) => row.session === session && row.sketch === "attendees")?.estimate;

const asNumber = ({ numerator, denominator }) => Number(numerator) / Number(denominator);

function checkWindows(told, said) {
  requireOnly(said, ["compared", "largest_deviation", RUNS], "the cross-check of windows has other members than it must");
  require(isCount(said.compared), "the cross-check of windows has other members than it must");
  const leaves = new Leaves(told);
  const more = leaves.unsure.size + told.differences.late.size * told.event.sessions.length;
  const all = leaves.rows.size <= said.compared && said.compared <= leaves.rows.size + more;
  require(all, `the cross-check compares ${said.compared} windows, the leaves have sketches of ${leaves.rows.size}`);
  const largest = said.largest_deviation;
  require((largest === null) === (said.compared === 0), "the cross-check has a largest deviation without windows, or windows without one");
  const windows = new Map([...told.log.windows.keys(), ...told.differences.late].map((window) => [told.event.iso(window), window]));
  if (largest !== null) checkLargest(told, leaves, windows, largest);
  checkAlarms(told, leaves, windows, said[RUNS]);
}

const running = (window) => Array.from({ length: RUNNING }, (_, step) => window + step * WINDOW_S);

function checkAlarms(told, leaves, windows, rows) {
  const limit = asNumber(LARGEST_USUAL);
  const said = new Set(rows.map(({ window, session }) => `${window} ${session}`));
  for (const { window, session } of rows) {
    const sound = told.event.session(session) && running(windows.get(window) ?? 0).every((each) => leaves.mayBeOver(each, session, limit));
    require(sound, `the cross-check has an alarm in the window ${window} that the leaves do not bear out`);
  }
  for (const place of leaves.between.keys()) {
    const [window, session] = place.split(/ (.*)/);
    const alarm = running(Number(window)).every((each) => leaves.isOver(each, session, limit));
    const here = told.event.iso(Number(window));
    require(!alarm || said.has(`${here} ${session}`), `from ${here} leaves deviate by over ${limit} standard errors, and no alarm says so`);
  }
}

function checkLargest(told, leaves, windows, largest) {
  const suppressed = Object.hasOwn(largest, "suppressed");
  requireOnly(largest, ["window", "session", ...COMPARED, ...(suppressed ? ["suppressed"] : [])], "the largest deviation has other members than it must");
  const window = windows.get(largest.window) ?? 0;
  const known = [leaves.rows, leaves.unsure].some((places) => places.has(`${window} ${largest.session}`)) || told.differences.late.has(window);
  require(known, "the largest deviation is of a window and a session of which no leaf has a sketch");
  const said = largest.difference_in_standard_errors;
  require(typeof said === "number", "the largest deviation is no number");
  if (suppressed) {
    const silent = largest.estimate === null && largest.exact === null && largest.suppressed === true;
    require(silent, "the largest deviation is withheld, and says something all the same");
  } else {
    const compared = isCount(largest.estimate) && isCount(largest.exact) && !wronglyCompared(largest);
    require(compared, "the largest deviation is not that of its estimate and its exact count");
    const exact = leaves.exact(window, largest.session);
    const guess = exact && estimateIn(told.log.windows.get(window), largest.session);
    require((guess ?? largest.estimate) === largest.estimate, `the largest deviation has the estimate ${largest.estimate}, its leaf ${guess}`);
    const within = exact === null || (exact[0] <= largest.exact && largest.exact <= exact[1]);
    require(within, () => `the largest deviation has ${largest.exact} online, its leaf between ${exact.join(" and ")}`);
  }
  for (const [place, [least]] of leaves.between) {
    const here = () => told.event.iso(Number(place.split(" ")[0]));
    require(least <= Math.abs(said) + TOLERANCE, () => `the largest deviation is ${said}, the leaf of ${here()} has ${least.toFixed(3)} at least`);
  }
}
