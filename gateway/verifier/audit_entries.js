// The log entries about the roll: what was sealed, which draws a beacon decided, what auditors signed.

import { fromBase64, fromHex, isCount, require, sameBytes, utf8 } from "./bytes.js";
import { decodeJson, isObject } from "./canonical_json.js";
import { LOG_KEY, parseNote, readKey, signedBy } from "./note.js";
import { sha256 } from "./sha256.js";

/** Chains of drand: when round 1 happened (unix seconds), and how far rounds are apart. */
const DRAND = new Map([["drand-quicknet", [1692803367, 3]], ["drand-default", [1595431050, 30]]]);
const TITLE = "turnout roll audit v1\n";

const happensAt = (name, round) => DRAND.get(name)[0] + (round - 1) * DRAND.get(name)[1];

/** Return the round that the event file named, or null. */
function firstRound(event) {
  const { audit } = event.document;
  if (!audit) return null;
  const at = Object.hasOwn(audit, "round_at") ? event.time(audit.round_at) : happensAt(audit.beacon, audit.round);
  return { name: audit.beacon, round: audit.round, at };
}

const sameRound = (one, other) =>
  one === other || (one && other && one.name === other.name && one.round === other.round && one.at === other.at);

export function readRoll(log, index, entry) {
  const { event, rolls } = log;
  require(isCount(entry.size) && fromBase64(String(entry.root)).length === 32, "its size is no number, or its root no hash");
  require(isCount(entry.through) && entry.through > 0 && entry.through <= index, "it does not say of which entries it was made");
  let round = null;
  if (entry.beacon !== null) {
    const { name, round: number, at } = entry.beacon;
    require(typeof name === "string" && isCount(number), "it names no round of a beacon");
    round = { name, round: number, at: event.time(at) };
    require(!DRAND.has(name) || round.at === happensAt(name, number), "the round of its beacon happens at another time");
  }
  const [named, earlier] = [firstRound(event), rolls.at(-1)?.round];
  require(rolls.length > 0 || named === null || sameRound(round, named), "it names another beacon round than the event file");
  require(!earlier || (round && round.at > earlier.at), "a corrected roll names a later round than the one before it");
  rolls.push({ index, size: entry.size, root: entry.root, round, at: event.time(entry.at) });
}

export function readDraw(log, index, entry) {
  const { event } = log;
  const roll = log.rolls.find((one) => one.index === entry.roll);
  require(roll?.round, "it draws from no roll before it that names a beacon round");
  const { name, round, value, signature } = entry.beacon;
  require(name === roll.round.name && round === roll.round.round, "its beacon round is not the one that its roll names");
  const length = fromHex(String(value)).length;
  require(length >= 16 && length <= 64, "a beacon's value has 16 to 64 bytes");
  require(!DRAND.has(name) || length === 32, "drand's randomness has 32 bytes");
  if (signature !== undefined) {
    const isDigest = DRAND.has(name) && sameBytes(sha256(fromHex(String(signature))), fromHex(value));
    require(isDigest, "its randomness is not the SHA-256 of its signature");
  }
  const { audit } = event.document;
  require(isCount(entry.k) && entry.k > 0 && (!audit || entry.k === audit.k), "it does not open as many leaves as the event file says");
  log.draws.push({ index, roll, value, k: entry.k, at: event.time(entry.at), results: [] });
}

export function readResult(log, index, entry) {
  const { event } = log;
  const draw = log.draws.find((one) => one.index === entry.draw);
  require(draw, "it is of no draw before it");
  const note = parseNote(utf8(String(entry.note)));
  require(signedBy(note, [readKey(String(entry.auditor), LOG_KEY)]).length > 0, "the auditor has not signed the result");
  require(note.text.startsWith(TITLE), "this is no result of an audit");
  const said = decodeJson(utf8(note.text.slice(TITLE.length, -1)), "the result of an audit");
  const figures = isObject(said) && [said.draw, said.size, said.drawn, said.bogus, said.bogus_at_most].every(isCount);
  require(figures && typeof said.order_witnessed === "boolean", "a figure of the audit's result is no whole number");
  const { roll } = draw;
  const same = said.event_sha256 === event.digest && said.draw === draw.index && said.root === roll.root
    && said.size === roll.size && said.drawn === Math.min(draw.k, roll.size) && said.bogus <= said.drawn;
  require(same, "the auditor's note is about another draw");
  draw.results.push({ index, auditor: entry.auditor, said, at: event.time(entry.at) });
}

/** Return the members `roll` and `audits` of a certificate. */
export function statedAudits({ event, rolls, draws }) {
  const roll = rolls.at(-1);
  return {
    roll: roll ? { entry: roll.index, size: roll.size, root: roll.root, sealed_at: event.iso(roll.at) } : null,
    audits: draws.map((draw) => ({
      entry: draw.index,
      roll: draw.roll.index,
      beacon: { name: draw.roll.round.name, round: draw.roll.round.round, value: draw.value },
      k: draw.k,
      drawn_at: event.iso(draw.at),
      results: draw.results.map(({ index, auditor, said, at }) => ({
        entry: index, auditor, drawn: said.drawn, bogus: said.bogus, bogus_at_most: said.bogus_at_most,
        confidence_percent: said.confidence_percent, order_witnessed: said.order_witnessed, stated_at: event.iso(at),
      })),
    })),
  };
}
