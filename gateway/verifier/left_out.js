// How many views leaves have left out so far, by session, in steps: so that nobody learns of few. docs/formats.md#leaves.

import { require } from "./bytes.js";
import { hasExactly } from "./canonical_json.js";

/** What holds of a session of which a leaf says nothing; `below` is the event's suppress_below. */
const firstStep = (below) => (below > 1 ? below : 0);

/** Return how many views were left out at least where a leaf says `said`. */
export const atLeast = (said, below) => (said <= firstStep(below) ? 0 : said - below + 1);

/** Return the rows of a leaf; `views` has how many were left out so far by session number. */
export function leftOutRows({ sessions, suppressBelow }, views) {
  const said = sessions.map(({ id, number }) => (
    { session: id, at_most: Math.max(Math.ceil((views.get(number) ?? 0) / suppressBelow) * suppressBelow, firstStep(suppressBelow)) }));
  return said.filter((row) => row.at_most > firstStep(suppressBelow));
}

/** Return by session id what a leaf says, of every session of the event. */
export function readLeftOut({ sessions, suppressBelow }, rows) {
  require(Array.isArray(rows) && rows.every((row) => hasExactly(row, ["session", "at_most"])), "what it leaves out is no list");
  const said = new Map(rows.map((row) => [row.session, row.at_most]));
  const known = sessions.map(({ id }) => id).filter((id) => said.has(id));
  require(known.length === rows.length && known.every((id, at) => id === rows[at].session), "it leaves out views of a session that there is not, or in another order");
  const inSteps = (most) => Number.isSafeInteger(most) && most > firstStep(suppressBelow) && most % suppressBelow === 0;
  require(rows.every((row) => inSteps(row.at_most)), "what it leaves out is not told in steps");
  return new Map(sessions.map(({ id }) => [id, said.get(id) ?? firstStep(suppressBelow)]));
}
