// Signed notes (C2SP signed-note) and the keys that sign them: the log's own (type 0x01) and witnesses' (0x04).

import { base64Of, fromBase64, fromHex, hexOf, join, require, sameBytes, textOf, utf8 } from "./bytes.js";
import { verifyEd25519 } from "./ed25519.js";
import { sha256 } from "./sha256.js";

export const LOG_KEY = 0x01;
export const WITNESS_KEY = 0x04;
const NOTE_LIMIT_BYTES = 1_000_000;
const SIGNATURES_LIMIT = 100;
const MARK = "— ";
const CONTROL = /[\x00-\x09\x0b-\x1f]/;
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

const shown = (text) => JSON.stringify(text.slice(0, 80));

function checkName(name) {
  const sound = name !== "" && !name.includes("+") && !SPACE.test(name) && !CONTROL.test(name);
  require(sound, () => `a key name is non-empty and has no space, control character or '+': ${shown(name)}`);
}

/** Return the key in a verifier key `name+keyid+base64`; its id must be that of its name and bytes. */
export function readKey(vkey, type) {
  const parts = /^([^+]*)\+([^+]*)\+([^]*)$/.exec(vkey);
  require(parts, "a verifier key has the form name+keyid+base64");
  const [, name, idHex, encoded] = parts;
  checkName(name);
  require(/^[0-9a-f]{8}$/.test(idHex), () => `the key id of ${shown(name)} is not 8 hexadecimal digits in lower case`);
  const typed = fromBase64(encoded);
  require(typed[0] === type, () => `the key of ${shown(name)} is not of type ${type}, the only one that fits here`);
  require(typed.length === 33, () => `the key of ${shown(name)} has ${typed.length - 1} bytes instead of 32`);
  const id = sha256(utf8(`${name}\n`), typed).subarray(0, 4);
  require(sameBytes(id, fromHex(idHex)), () => `the key id in the verifier key of ${shown(name)} is not that of its key`);
  return { name, type, id, bytes: typed.subarray(1), vkey: `${name}+${idHex}+${base64Of(typed)}` };
}

export const sameKey = (one, other) =>
  one.name === other.name && one.type === other.type && sameBytes(one.bytes, other.bytes);

/** Return whether a key has signed a text: of a witness's signature the first 8 bytes are its time (unix seconds). */
function hasSigned(key, text, signature) {
  if (key.type === LOG_KEY) return verifyEd25519(key.bytes, utf8(text), signature);
  const time = cosignedAt(signature);
  if (time === null) return false;
  return verifyEd25519(key.bytes, utf8(`cosignature/v1\ntime ${time}\n${text}`), signature.subarray(8));
}

/** Return the time in a cosignature as a BigInt, or null if it is none. */
export function cosignedAt(signature) {
  if (signature.length <= 8) return null;
  const time = BigInt(`0x${hexOf(signature.subarray(0, 8))}`);
  return time < 1n << 63n ? time : null;
}

function readLine(line) {
  const at = line.indexOf(" ", MARK.length);
  require(line.startsWith(MARK) && at > 0, () => `this is not a signature line: ${shown(line)}`);
  const name = line.slice(MARK.length, at);
  checkName(name);
  const data = fromBase64(line.slice(at + 1));
  require(data.length > 4, () => `the signature line of ${shown(name)} holds no signature`);
  return { name, id: data.subarray(0, 4), signature: data.subarray(4) };
}

/** Return the text of a note and its signature lines; nothing is verified yet. */
export function parseNote(bytes) {
  require(bytes.length <= NOTE_LIMIT_BYTES, `a note has at most ${NOTE_LIMIT_BYTES} bytes`);
  const whole = textOf(bytes, "a note");
  const at = whole.lastIndexOf("\n\n");
  const tail = at < 0 ? "" : whole.slice(at + 2);
  require(tail.endsWith("\n"), "a note is text, an empty line, and signature lines ended by a newline");
  const text = whole.slice(0, at + 1);
  require(!CONTROL.test(text), "a note has no control character but the newline");
  const lines = tail.slice(0, -1).split("\n");
  require(lines.length <= SIGNATURES_LIMIT, `a note has at most ${SIGNATURES_LIMIT} signatures, not ${lines.length}`);
  return { text, signatures: lines.map(readLine) };
}

/**
 * Return which of the keys have signed a note: a list of {key, signature}, of several lines of one key the first.
 * Lines of other keys are passed over; a bad line of one of these keys refuses the note.
 */
export function signedBy(note, keys) {
  const found = [];
  for (const line of note.signatures) {
    const key = keys.find((known) => known.name === line.name && sameBytes(known.id, line.id));
    if (!key) continue;
    require(hasSigned(key, note.text, line.signature), () => `the signature of ${shown(key.name)} does not verify`);
    if (!found.some((one) => one.key === key)) found.push({ key, signature: line.signature });
  }
  return found;
}
