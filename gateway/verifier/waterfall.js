// The waterfall and the exclusions against each other, the numbers, the event and the leaves. docs/formats.md.

import { isCount, require } from "./bytes.js";
import { sameJson } from "./canonical_json.js";
import { added, requireOnly, sumOf } from "./told.js";

const CATEGORY = "category";
const OTHERS = "other categories";
const COUNTS = ["gross", "excluded", "guests", "net", "views_gross", "views_excluded", "views_net"];

export function checkWaterfall(told) {
  const said = told.document.waterfall;
  requireOnly(said, ["statement", "rows", "refused", "scans_refused", "flagged", "revoked", "guests"], "the waterfall has other members than it must");
  for (const row of said.rows) requireOnly(row, ["step", "reason", "kind", "people", "views"], "a row of the waterfall has other members than it must");
  const [gross, minus, net] = [said.rows[0], said.rows.slice(1, -1), said.rows.at(-1)];
  const steps = said.rows.length > 1 && gross.step === "gross" && net.step === "net" && minus.every(({ step }) => step === "minus");
  require(steps, "the waterfall does not lead from gross to net");
  const ends = [gross, net].every(({ reason, kind }) => reason === null && kind === null);
  require(ends && areOfTheEvent(told, minus), "the waterfall takes out other reasons than the event's, or in another order");
  checkSums(told, gross, minus, net);
  checkLogged(told, minus);
  checkExclusions(told, gross, net);
}

function areOfTheEvent({ event, words }, minus) {
  const traffic = words.flagged.filter(({ reason }) => event.excludeTraffic.includes(reason)).map(({ reason, kind }) => [reason, kind]);
  const said = minus.map(({ reason, kind }) => [reason, kind]);
  const rest = said.slice(traffic.length);
  const names = new Set(rest.filter(([, kind]) => kind === CATEGORY).map(([reason]) => reason));
  const shown = event.excludeCategories.filter((name) => names.has(name));
  const others = shown.length < event.excludeCategories.length ? [OTHERS] : [];
  return sameJson(said, [...traffic, ...[...shown, ...others].map((name) => [name, CATEGORY])]);
}

function checkSums(told, gross, minus, net) {
  const figures = [gross, ...minus, net].map(({ people }) => told.people(people, "the waterfall"));
  const left = figures.slice(1).reduce((sum, figure) => added(sum, figure));
  const whole = added(figures[0], new Map([...left.keys()].map((name) => [name, 0])));
  const adds = ![...left.values()].includes(null) && [...whole].every(([name, people]) => people === (left.get(name) ?? 0));
  require(adds, "the waterfall's people do not add up");
  require([gross, ...minus, net].every(({ views }) => isCount(views)), "the waterfall's views are no whole numbers");
  require(gross.views - sumOf(minus.map(({ views }) => views)) === net.views, "the waterfall's views do not add up");
  require(!told.differs(figures.at(-1), "unique-attendees", {}), () => `the waterfall leaves ${JSON.stringify(net.people)} people, and unique-attendees is another number`);
  const views = told.printed("views", {});
  require(views === null || views === net.views, `the waterfall leaves ${net.views} views, and views is ${views}`);
}

function checkLogged({ log, event, document, words }, minus) {
  const said = document.waterfall;
  const last = log.steering.at(-1)?.revoked ?? { seats: 0, views: 0 };
  const fixed = { ...refusedIn(log), revoked: { attendees: last.seats, views: last.views, statement: words.revoked }, statement: words.waterfall };
  for (const [name, value] of Object.entries(fixed)) require(sameJson(said[name], value), `the waterfall's '${name}' is not what the log gives`);
  const flagged = said.flagged.map(({ joins, ...row }) => row);
  const expected = words.flagged.map((row) => ({ ...row, excluded: event.excludeTraffic.includes(row.reason) }));
  require(sameJson(flagged, expected), "the waterfall's 'flagged' does not say which flags the event takes out, and what they mean");
  const joins = new Map(said.flagged.map((row) => [row.reason, row.joins]));
  require([...joins.values()].every(isCount), "the waterfall's flagged joins are no whole numbers");
  const fewer = minus.every(({ kind, reason, views }) => kind === CATEGORY || views <= joins.get(reason));
  require(fewer, "the waterfall takes out more views than joins were flagged");
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

function checkExclusions(told, gross, net) {
  const { exclusions: said, waterfall: { guests }, aliases } = told.document;
  requireOnly(said, ["categories", "unit", ...COUNTS], "the certificate's 'exclusions' are not of whole numbers");
  require(COUNTS.every((name) => isCount(said[name])), "the certificate's 'exclusions' are not of whole numbers");
  requireOnly(guests, ["devices", "views"], "the waterfall's guests are no whole numbers");
  require(Object.values(guests).every(isCount), "the waterfall's guests are no whole numbers");
  const fixed = sameJson(said.categories, told.event.excludeCategories) && said.unit === "identities";
  require(fixed, "the certificate's 'exclusions' are not of the event's categories");
  const people = [gross, net].map((row) => sumOf([...told.people(row.people, "the waterfall").values()]));
  const sums = { gross: people[0] + guests.devices, net: people[1], views_gross: gross.views, views_net: net.views,
    views_excluded: gross.views - net.views, excluded: said.gross - said.net - said.guests };
  for (const [name, value] of Object.entries(sums)) require(said[name] === value, `the exclusions have ${said[name]} as '${name}', the waterfall ${value}`);
  const fewer = said.guests <= guests.devices && guests.views <= gross.views;
  require(fewer, "there are more guests that count than guests, or more of their views than views");
  const devices = told.printed("unique-attendees", { assurance: "guest" });
  require(devices === null || devices === said.guests, `the exclusions have ${said.guests} guests, and unique-attendees of guests is ${devices}`);
  requireOnly(aliases, ["count", "sha256", "statement"], "the certificate's 'aliases' say something else than what aliases are");
  require(aliases.statement === told.words.aliases, "the certificate's 'aliases' say something else than what aliases are");
}
