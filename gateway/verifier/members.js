// What a certificate prints beside its numbers, held against them and against the log. docs/formats.md#beside-the-numbers.

import { require } from "./bytes.js";
import { sameJson } from "./canonical_json.js";
import { Differences } from "./differences.js";
import { scopeKey } from "./rules.js";

const CHANNELS = ["online", "onsite"];

/** Return a number that is printed, null if it is not. */
function valueOf(document, rule, scope) {
  const wanted = scopeKey(rule, scope);
  return document.numbers.find((row) => row.rule === rule && scopeKey(row.rule, row.scope) === wanted)?.value ?? null;
}

/** Throw unless waterfall, minutes and curve agree with the numbers and with the leaves. */
export function checkMembers(log, document) {
  if (document.version < 3) return `a certificate of version ${document.version} prints no more than its numbers`;
  checkWaterfall(log, document);
  checkMinutes(document);
  checkCurve(log, document);
  return `waterfall, minutes attended and a curve of ${document.curve.windows.length} windows tell one story`;
}

function checkWaterfall(log, document) {
  const { rows, refused, scans_refused, revoked } = document.waterfall;
  const [gross, minus, net] = [rows[0], rows.slice(1, -1), rows.at(-1)];
  const steps = gross.step === "gross" && net.step === "net" && minus.every(({ step }) => step === "minus") && rows.length > 1;
  require(steps, "the waterfall does not lead from gross to net");
  for (const [unit, rule] of [["people", "unique-attendees"], ["views", "views"]]) {
    const left = minus.reduce((rest, row) => rest - row[unit], gross[unit]);
    require(rows.every((row) => row[unit] >= 0) && left === net[unit], `the waterfall's ${unit} do not add up`);
    const counted = valueOf(document, rule, {});
    require(counted === null || counted === net[unit], `the waterfall leaves ${net[unit]} ${unit}, and ${rule} is ${counted}`);
  }
  const logged = refusedIn(log);
  const same = sameJson(refused, logged.refused) && scans_refused === logged.scans_refused;
  require(same, "the waterfall's refusals are not what the log gives");
  const last = log.steering.at(-1)?.revoked ?? { seats: 0, views: 0 };
  require(revoked.attendees === last.seats && revoked.views === last.views, "the waterfall's 'revoked' is not what the log gives");
}

/** Return the sums of what window leaves say of who was turned away. */
function refusedIn(log) {
  const counts = new Map();
  let scans_refused = 0;
  for (const { entry } of log.windows.values()) {
    for (const [reason, count] of Object.entries(entry.refusals)) counts.set(reason, (counts.get(reason) ?? 0) + count);
    scans_refused += entry.scans.refused;
  }
  const refused = [...counts].sort(([one], [other]) => (one < other ? -1 : 1)).map(([reason, count]) => ({ reason, count }));
  return { refused, scans_refused };
}

function checkMinutes(document) {
  for (const { scope, bands } of document.minutes) {
    const counted = valueOf(document, "unique-attendees", scope);
    if (bands === null || counted === null) continue;
    const people = bands.reduce((sum, band) => sum + band.people, 0);
    require(people === counted, `the minutes attended of ${scope.session ?? "the event"} are not of its ${counted} unique attendees`);
  }
}

function checkCurve(log, document) {
  const { event } = log;
  const { windows } = document.curve;
  const differences = new Differences(log, document);
  const columns = [...CHANNELS, "either"].map((name) => document.curve[name]);
  require(columns.every((column) => column.length === windows.length), "the curve's columns are not of one length");
  windows.forEach((here, at) => {
    const counted = columns.map((column) => column[at]);
    require(mayBeCounted(...counted), () => `the curve has ${JSON.stringify(counted)} in the window ${here}: online, on site and either cannot be these`);
  });
  const online = new Map(windows.map((window, at) => [window, document.curve.online[at]]));
  const scheduled = new Set(event.scheduled);
  for (const window of new Set([...scheduled, ...log.windows.keys()])) {
    const here = event.iso(window);
    const leaf = log.windows.get(window);
    const present = leaf ? (leaf.totals.get("") ?? { present: 0 }).present : 0;
    if (!online.has(here)) {
      // A window that is not scheduled is there if somebody was: on site, which no leaf says, or online.
      const owed = (scheduled.has(window) && window < log.ended) || !differences.mayBePresent(window, present, 0);
      require(!owed, `the curve lacks the window ${here}`);
    } else {
      require(differences.mayBePresent(window, present, online.get(here)), `the curve has ${online.get(here)} online in the window ${here}, its leaf ${present}`);
    }
  }
  const whole = valueOf(document, "peak-concurrent-attendees", {});
  const highest = document.curve.either.reduce((best, people) => Math.max(best, people ?? 0), 0);
  require(whole === null || highest <= whole, `the curve's largest number is ${highest}, the peak ${whole}`);
  for (const channel of CHANNELS) {
    const peak = valueOf(document, "peak-concurrent-attendees", { channel });
    const most = document.curve[channel].reduce((best, people) => Math.max(best, people ?? 0), 0);
    require(peak === null || peak === most || Math.max(peak, most) < event.suppressBelow, `the curve's largest number ${channel} is ${most}, the peak ${peak}`);
  }
}

/** Return whether these can be who was online, on site, and on either: whole numbers, or null if they are withheld. */
function mayBeCounted(...counted) {
  if (!counted.every((people) => people === null || (Number.isInteger(people) && people >= 0))) return false;
  const [one, other, either] = counted;
  return counted.includes(null) || (Math.max(one, other) <= either && either <= one + other);
}
