// The minutes attended against the numbers, against themselves, and against the curve and what is apart.

import { isCount, require } from "./bytes.js";
import { hasExactly, sameJson } from "./canonical_json.js";
import { calledOf, sumOf } from "./told.js";

const UNIQUE = "unique-attendees";
const BANDS = [1, 5, 15, 30, 60, 120, 240, 480];
/** More than what a mean is rounded by. */
const ROUNDED = 0.000001;

export function checkMinutes(told) {
  const { minutes } = told.document;
  const { spaces } = told;
  const scopes = [{}, ...told.event.sessions.map(({ id }) => ({ session: id }))];
  const expected = scopes.flatMap((scope) => spaces.map((namespace) => (told.several ? { ...scope, namespace } : scope)));
  require(sameJson(minutes.map(({ scope }) => scope), expected), "the minutes attended are not of the event and of each of its sessions");
  scopes.forEach((scope, at) => checkScope(told, scope, new Map(spaces.map((space, which) => [space, minutes[at * spaces.length + which]]))));
}

function checkScope(told, scope, rows) {
  const name = calledOf(scope);
  for (const row of rows.values()) {
    const wrong = malformed(told, row);
    require(!wrong, () => `the minutes attended of ${name}: ${wrong}`);
  }
  const counted = new Map([...rows].map(([space, { bands }]) => [space, bands === null ? null : sumOf(bands.map(({ people }) => people))]));
  const withheld = told.isWithheld(UNIQUE, scope);
  const silent = [...counted.values()].every((people) => people === null);
  const odd = (withheld === true && !silent) || (withheld === false && silent && !told.several);
  require(!odd, `the minutes attended of ${name} are withheld, or shown, where its ${UNIQUE} are not`);
  require(!told.differs(counted, UNIQUE, scope), () => `the minutes attended of ${name} are not of its ${JSON.stringify(told.printed(UNIQUE, scope))} unique attendees`);
  if (scope.session === undefined) {
    const net = told.people(told.document.waterfall.rows.at(-1).people, "the waterfall");
    require([...counted].every(([space, people]) => net.get(space) === people), "the minutes attended of the event are not of the people that the waterfall leaves");
    checkAgainstCurve(told, rows, counted);
  } else {
    checkAgainstApart(told, scope, rows, counted);
  }
}

/** Return what is wrong with a row by itself; "" if nothing is. */
function malformed(told, row) {
  const { bands, median, mean, scope } = row;
  if (bands === null) {
    const silent = hasExactly(row, ["scope", "unit", "bands", "median", "mean", "suppressed"]) && median === null && mean === null;
    return silent && row.suppressed === true && scope.session !== undefined ? "" : "nothing may be withheld";
  }
  if (!hasExactly(row, ["scope", "unit", "bands", "median", "mean"]) || row.unit !== "people") return "it has other members than it must";
  const ends = [...bands.slice(1).map(({ from }) => from - 1), null];
  const whole = bands[0].from === BANDS[0] && bands.every((band, at) => hasExactly(band, ["from", "to", "people"]) && BANDS.includes(band.from) && band.to === ends[at]);
  if (!whole) return "its bands do not begin where bands begin, or leave something out";
  const people = bands.map((band) => band.people);
  const least = Math.min(told.below, sumOf(people));
  if (!people.every((each) => isCount(each) && (each === 0 || each >= least))) return "its bands hold so few people that none may be shown";
  return misplaced(bands, sumOf(people), median, mean);
}

function misplaced(bands, total, median, mean) {
  if (!total) return median === null && mean === null ? "" : "nobody has a mean";
  if (!isCount(median) || typeof mean !== "number") return "its median or mean is no number";
  let before = 0;
  for (const { from, to, people } of bands) {
    const reached = before + people;
    const here = 2 * before < total && total <= 2 * reached;
    if (here && (median < from || (to !== null && median > to))) return "its median is in another band than half of the people";
    before = reached;
  }
  const least = sumOf(bands.map(({ from, people }) => from * people));
  const most = sumOf(bands.map(({ to, people }) => (people ? (to ?? Infinity) * people : 0)));
  const reach = ROUNDED * total;
  return mean * total < least - reach || mean * total > most + reach ? "its mean is not one of its bands" : "";
}

const minutesOf = (rows, counted) => new Map([...rows].map(([space, { mean }]) => [space, (mean ?? 0) * (counted.get(space) ?? 0)]));

/** The mean times the people is all their minutes: those that the curve adds up to. */
function checkAgainstCurve(told, rows, counted) {
  const { either } = told.document.curve;
  for (const [space, minutes] of minutesOf(rows, counted)) {
    const column = told.several ? either[space] : either;
    const shown = sumOf(column);
    const reach = ROUNDED * (counted.get(space) ?? 0);
    const sound = minutes >= shown - reach && (column.includes(null) || minutes <= shown + reach);
    require(sound, `the mean of the event is not of the ${shown} minutes that the curve adds up to`);
  }
}

function checkAgainstApart(told, scope, rows, counted) {
  const apart = told.document.apart.rows.find((row) => row.scope.session === scope.session);
  const parts = [apart.in_schedule.person_minutes, apart.outside.person_minutes];
  if ([...counted.values(), ...parts].includes(null)) return;
  const minutes = sumOf([...minutesOf(rows, counted).values()]);
  const sound = Math.abs(minutes - sumOf(parts)) <= ROUNDED * sumOf([...counted.values()]);
  require(sound, `the mean of ${scope.session} is not of the ${sumOf(parts)} person-minutes that stand apart`);
}
