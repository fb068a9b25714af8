// When entry 0 locked the rules, by the ledger's clock: too late is a fact to be read, and contradicts nothing.

import { Refused } from "./bytes.js";

/** Return {said, alarm}: when it was, and in few words why that is not before the first session; null if it is. */
export function whenLocked({ event, lockedAt }) {
  const first = event.sessions.reduce((one, other) => (other.startsAt < one.startsAt ? other : one));
  const said = `entry 0 locked ${event.id} at ${lockedAt}`;
  let locked;
  try {
    locked = event.time(lockedAt);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { said: `${said}, WHICH IS NO TIME: WHETHER BEFORE THE FIRST SESSION, NOBODY CAN SAY`, alarm: "no time is given" };
  }
  if (locked < first.startsAt) return { said: `${said}, before the first session began`, alarm: null };
  return {
    said: `${said}: LOCKED AFTER THE FIRST SESSION HAD BEGUN (${first.id} began at ${event.iso(first.startsAt)})`,
    alarm: "NO: locked after the first session had begun",
  };
}
