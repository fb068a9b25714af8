// The curve against the leaves and the peaks: each scheduled window, and in each as many online as its leaf says.

import { isCount, require } from "./bytes.js";
import { hasExactly, isObject, sameJson } from "./canonical_json.js";
import { sumOf } from "./told.js";

const CHANNELS = ["online", "onsite", "either"];

export function checkCurve(told) {
  const { curve } = told.document;
  const { spaces } = told;
  require(hasExactly(curve, ["windows", ...CHANNELS]), "the certificate's 'curve' has other members than it must");
  const columns = Object.fromEntries(CHANNELS.map((name) => [name, told.several ? curve[name] : { "": curve[name] }]));
  const named = CHANNELS.every((name) => isObject(columns[name]) && sameJson(Object.keys(columns[name]).sort(), spaces));
  require(named, "the curve's people of several namespaces are not one number, and of one they are");
  const long = CHANNELS.every((name) => Object.values(columns[name]).every((column) => column.length === curve.windows.length));
  require(long, "the curve's columns are not of one length");
  checkOnline(told, new Map(curve.windows.map((here, at) => [here, spaces.map((space) => columns.online[space][at])])));
  for (const space of spaces) {
    curve.windows.forEach((here, at) => {
      const counted = CHANNELS.map((name) => columns[name][space][at]);
      require(mayBeCounted(...counted), () => `the curve has ${JSON.stringify(counted)} in the window ${here}: online, on site and either cannot be these`);
    });
  }
  for (const name of CHANNELS) checkPeak(told, name, Object.values(columns[name]));
}

/** Return whether these can be who was online, on site, and on either: whole numbers, or null if they are withheld. */
function mayBeCounted(...counted) {
  if (!counted.every((people) => people === null || isCount(people))) return false;
  const [one, other, either] = counted;
  return counted.includes(null) || (Math.max(one, other) <= either && either <= one + other);
}

function checkOnline({ log, event, below, differences }, online) {
  const scheduled = new Set(event.scheduled);
  for (const window of new Set([...scheduled, ...log.windows.keys()])) {
    const here = event.iso(window);
    const leaf = log.windows.get(window);
    const present = leaf ? (leaf.totals.get("") ?? { present: 0 }).present : 0;
    const [least, most] = differences.between(window, present);
    const counted = online.get(here);
    if (counted === undefined) {
      // A window that is not scheduled is there if somebody was: on site, which no leaf says, or online.
      require(!(scheduled.has(window) && window < log.ended) && least === 0, `the curve lacks the window ${here}`);
      continue;
    }
    const fewest = sumOf(counted.map((people) => people ?? 1));
    const largest = sumOf(counted.map((people) => people ?? below - 1));
    require(largest >= Math.max(least, fewest) && fewest <= most, () => `the curve has ${JSON.stringify(counted)} online in the window ${here}, its leaf ${present}`);
  }
}

/** The largest number of each namespace, or one that is so small that it is not shown, is the peak's. */
function checkPeak(told, channel, columns) {
  const peak = told.printed("peak-concurrent-attendees", channel === "either" ? {} : { channel });
  if (peak === null) return;
  const largest = columns.map((column) => column.reduce((best, people) => Math.max(best, people ?? 0), 0));
  const highest = largest.map((people) => Math.max(people, told.below - 1));
  // Either is withheld wherever a channel is: a peak can be where nothing shows it.
  const upTo = (most) => (channel === "either" ? Infinity : most);
  const limits = [[Math.max(...largest), upTo(Math.max(...highest))], [sumOf(largest), upTo(sumOf(highest))]];
  (Array.isArray(peak) ? peak : [peak, peak]).forEach((number, at) => {
    const [least, most] = limits[at];
    require(least <= number && number <= most, `the curve's largest number ${channel} is ${least}, the peak ${number}`);
  });
}
