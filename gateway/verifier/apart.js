// What is shown apart, against the numbers and the leaves: person-minutes online, and how many of them in the background.

import { isCount, require } from "./bytes.js";
import { hasExactly, sameJson } from "./canonical_json.js";
import { added, calledOf, requireOnly, sumOf } from "./told.js";

const PAIRS = [["in_schedule", "outside", "unique-attendees"], ["foreground", "background", "unique-attendees-online"]];
const PARTS = PAIRS.flatMap(([one, other]) => [one, other]);
const WITHHELD = { people: null, person_minutes: null, suppressed: true };

export function checkApart(told) {
  const said = told.document.apart;
  requireOnly(said, ["statement", "rows"], "the certificate's 'apart' says something else than what it is");
  require(said.statement === told.words.apart, "the certificate's 'apart' says something else than what it is");
  const scopes = [{}, ...told.event.sessions.map(({ id }) => ({ session: id }))];
  require(sameJson(said.rows.map(({ scope }) => scope), scopes), "what is shown apart is not of the event and of each of its sessions");
  for (const row of said.rows) {
    requireOnly(row, ["scope", ...PARTS], "a row of what is shown apart has other members than it must");
    for (const pair of PAIRS) checkPair(told, row, pair);
  }
  const [whole, ...rows] = said.rows;
  for (const part of PARTS) {
    const minutes = rows.map((row) => row[part].person_minutes);
    const known = ![...minutes, whole[part].person_minutes].includes(null);
    require(!known || sumOf(minutes) === whole[part].person_minutes, `the event's person-minutes ${part} are not its sessions' added up`);
  }
  told.event.sessions.forEach((session, at) => checkAgainstLeaves(told, session, rows[at]));
}

function checkPair(told, row, [one, other, rule]) {
  const where = `${one} and ${other} of ${calledOf(row.scope)}`;
  const both = [row[one], row[other]];
  if (both.some((part) => Object.hasOwn(part, "suppressed"))) {
    require(both.every((part) => sameJson(part, WITHHELD)), `${where} are withheld, and say something all the same`);
    return;
  }
  require(!told.isWithheld(rule, row.scope), `${where} tell what is withheld as ${rule}`);
  const counted = both.map((part) => {
    require(hasExactly(part, ["people", "person_minutes"]) && isCount(part.person_minutes), `${where} have no person-minutes`);
    const people = told.people(part.people, where);
    const known = sumOf([...people.values()]);
    require(known <= part.person_minutes, `${where} have more people than person-minutes`);
    const few = !told.several && (people.get("") === null || (known > 0 && known < told.below));
    require(!few, `${where} show so few people that none may be shown`);
    return people;
  });
  require(!told.differs(added(...counted), rule, row.scope), `${where} are not its ${rule}`);
}

function checkAgainstLeaves(told, session, row) {
  const { differences } = told;
  const sums = { online: [0, 0], hidden: [0, 0], on_time: [0, 0], outside: [0, 0] };
  const add = (name, [least, most]) => { sums[name] = [sums[name][0] + least, sums[name][1] + most]; };
  const take = (window, { present, background }) => {
    const here = differences.between(window, present);
    const behind = differences.between(window, background);
    add("online", here);
    add("hidden", behind);
    add(session.windowSet.has(window) ? "on_time" : "outside", here);
    return here[0] - behind[1];
  };
  const seenAtOnce = told.leavesOf(session.id).map(([window, counts]) => take(window, counts));
  for (const window of differences.late) if (!told.log.windows.has(window)) take(window, { present: 0, background: 0 });
  const foremost = seenAtOnce.reduce((best, seen) => Math.max(best, seen), 0);
  const within = ([least, most], said) => least <= said && said <= most;
  const { in_schedule, outside, foreground, background } = row;
  const hidden = foreground.person_minutes === null;
  require(hidden || within(sums.online, foreground.person_minutes + background.person_minutes), `the leaves of ${session.id} do not have the person-minutes online that stand apart`);
  require(hidden || within(sums.hidden, background.person_minutes), `the leaves of ${session.id} do not have the person-minutes in the background that stand apart`);
  const enough = in_schedule.person_minutes === null || (in_schedule.person_minutes >= sums.on_time[0] && outside.person_minutes >= sums.outside[0]);
  require(enough, `the leaves of ${session.id} have more person-minutes in its schedule, or outside, than stand apart`);
  if (hidden) return;
  const seen = [...told.people(foreground.people, session.id).values()];
  require(seen.includes(null) || sumOf(seen) >= foremost, `the leaves of ${session.id} have more people in the foreground at once than stand apart`);
}
