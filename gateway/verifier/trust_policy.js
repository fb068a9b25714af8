// The verifier's trust file (C2SP tlog-policy): which logs' keys are trusted, and whose cosignatures are demanded.

import { Refused, require } from "./bytes.js";
import { LOG_KEY, WITNESS_KEY, readKey, signedBy } from "./note.js";
import { sameBytes } from "./bytes.js";

export const NO_QUORUM = "none";
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;

/** Return {logs, witnesses, groups, quorum}; fails closed: a line that is not understood makes it all unusable. */
export function readPolicy(text) {
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), quorum: "" };
  text.split(LINE_END).forEach((line, at) => {
    const words = line.split(/\s+/u).filter(Boolean);
    if (!words.length || words[0].startsWith("#")) return;
    try {
      take(policy, words);
    } catch (error) {
      throw new Refused(`trust policy, line ${at + 1}: ${error.message}`);
    }
  });
  policy.quorum ||= NO_QUORUM;
  return policy;
}

function take(policy, words) {
  const [what, name, more, ...rest] = words;
  if (what === "log" && (words.length === 2 || words.length === 3)) {
    const key = readKey(name, LOG_KEY);
    require(!policy.logs.some((known) => sameBytes(known.bytes, key.bytes)), "this log key is there already");
    policy.logs.push(key);
  } else if (what === "witness" && (words.length === 3 || words.length === 4)) {
    requireNew(policy, name);
    const key = readKey(more, WITNESS_KEY);
    const known = [...policy.witnesses.values()].some((other) => sameBytes(other.bytes, key.bytes));
    require(!known, "this witness key is there already: it would count twice");
    policy.witnesses.set(name, key);
  } else if (what === "group" && words.length > 3) {
    requireNew(policy, name);
    rest.forEach((member) => {
      requireKnown(policy, member);
      const taken = [...policy.groups.values()].some((group) => group.members.includes(member));
      const twice = rest.filter((other) => other === member).length > 1;
      require(!taken && !twice, `${member} is a member already: it would count twice`);
    });
    const least = more === "any" ? 1 : more === "all" ? rest.length : /^[0-9]+$/.test(more) ? Number(more) : 0;
    require(least >= 1 && least <= rest.length, `a group of ${rest.length} cannot need ${more} of them`);
    policy.groups.set(name, { least, members: rest });
  } else if (what === "quorum" && words.length === 2 && !policy.quorum) {
    if (name !== NO_QUORUM) requireKnown(policy, name);
    policy.quorum = name;
  } else {
    throw new Refused(`not understood: ${words.join(" ").slice(0, 80)}`);
  }
}

function requireNew(policy, name) {
  const taken = name === NO_QUORUM || policy.witnesses.has(name) || policy.groups.has(name);
  require(!taken, `the name ${name} is taken`);
}

function requireKnown(policy, name) {
  require(policy.witnesses.has(name) || policy.groups.has(name), `there is no witness or group ${name} above`);
}

/** Return the policy's names of the witnesses that have cosigned a parsed note, with their signatures. */
export function cosignedBy(policy, note) {
  const found = signedBy(note, [...policy.witnesses.values()]);
  const nameOf = (key) => [...policy.witnesses].find(([, known]) => known === key)[0];
  return new Map(found.map(({ key, signature }) => [nameOf(key), signature]));
}

/** Return whether these witnesses (a Set or Map of names) make the quorum. */
export function meetsQuorum(policy, names) {
  const holds = (name) => {
    const group = policy.groups.get(name);
    return group ? group.members.filter(holds).length >= group.least : names.has(name);
  };
  return policy.quorum === NO_QUORUM || holds(policy.quorum);
}
