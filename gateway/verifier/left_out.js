// How many views leaves have left out so far, by session, in steps: so that nobody learns of few. docs/formats.md#leaves.

import { require } from "./bytes.js";
import { isObject } from "./canonical_json.js";

/** What holds of a session of which a leaf says nothing; `below` is the event's suppress_below. */
const firstStep = (below) => (below > 1 ? below : 0);

/** Return how many views were left out at least where a leaf says `said`. */
export const atLeast = (said, below) => (said <= firstStep(below) ? 0 : said - below + 1);

/** Return what a leaf says by session id; `views` has how many were left out so far by session number. */
export function leftOutSoFar({ sessions, suppressBelow }, views) {
  const said = sessions.map(({ id, number }) => [id, Math.ceil((views.get(number) ?? 0) / suppressBelow) * suppressBelow]);
  return Object.fromEntries(said.filter(([, most]) => most > firstStep(suppressBelow)));
}

/** Return by session id what a leaf says, of every session of the event. */
export function readLeftOut({ sessions, suppressBelow }, said) {
  const known = new Set(sessions.map(({ id }) => id));
  require(isObject(said) && Object.keys(said).every((id) => known.has(id)), "it leaves out views of a session that there is not");
  const inSteps = (most) => Number.isSafeInteger(most) && most > firstStep(suppressBelow) && most % suppressBelow === 0;
  require(Object.values(said).every(inSteps), "what it leaves out is not told in steps");
  return new Map(sessions.map(({ id }) => [id, Object.hasOwn(said, id) ? said[id] : firstStep(suppressBelow)]));
}
