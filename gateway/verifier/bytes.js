// Bytes: how they are compared, joined, and read as hex, base64, UTF-8 and little-endian integers. Strict throughout.

/** What is wrong with something that was to be checked, in words for the report. */
export class Refused extends Error {}

/** Throw `Refused` with these words unless the condition holds. */
export function require(condition, words) {
  if (!condition) throw new Refused(typeof words === "function" ? words() : words);
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => ENCODER.encode(text);

/** Return the text of UTF-8 bytes; `what` names them if they are none. */
export function textOf(bytes, what) {
  try {
    return DECODER.decode(bytes);
  } catch {
    throw new Refused(`${what} is not valid UTF-8`);
  }
}

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function compareBytes(one, other) {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at++) if (one[at] !== other[at]) return one[at] - other[at];
  return one.length - other.length;
}

export const sameBytes = (one, other) => one.length === other.length && compareBytes(one, other) === 0;

export const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(hex) {
  require(/^([0-9a-f]{2})*$/.test(hex), `${JSON.stringify(hex.slice(0, 80))} is not lower-case hex`);
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

export const isDigest = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

export const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function base64Of(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const group = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const held = Math.min(3, bytes.length - at) + 1;
    for (let sextet = 0; sextet < 4; sextet++) text += sextet < held ? ALPHABET[(group >> (18 - 6 * sextet)) & 63] : "=";
  }
  return text;
}

/** Return the bytes of standard base64, taking only the one text that encodes them. */
export function fromBase64(text) {
  const wrong = () => `this is not base64 in its one canonical form: ${JSON.stringify(text.slice(0, 80))}`;
  require(text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text), wrong);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  for (let at = 0, out = 0; at < text.length; at += 4) {
    let group = 0;
    for (let sextet = 0; sextet < 4; sextet++) group = (group << 6) | Math.max(ALPHABET.indexOf(text[at + sextet]), 0);
    for (let byte = 0; byte < 3 && out < bytes.length; byte++) bytes[out++] = (group >> (16 - 8 * byte)) & 255;
  }
  require(base64Of(bytes) === text, wrong);
  return bytes;
}

/** A little-endian view of bytes, wherever in a buffer they lie. */
export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
