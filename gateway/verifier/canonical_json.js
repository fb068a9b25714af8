// Canonical JSON (RFC 8785): one value, one spelling. JavaScript's own spelling of numbers and texts is that of the RFC,
// so reading is strict if what was read, written again, gives the same bytes.

import { Refused, require, sameBytes, textOf, utf8 } from "./bytes.js";

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

function spelledText(text) {
  require(!LONE_SURROGATE.test(text), "half a surrogate pair has no canonical JSON");
  return JSON.stringify(text);
}

function spelledNumber(number) {
  require(Number.isFinite(number), "a number beyond all bounds has no canonical JSON");
  // From 10^21 on numbers are written with an exponent, and nobody takes them for exact integers.
  const inexact = Number.isInteger(number) && !Number.isSafeInteger(number) && Math.abs(number) < 1e21;
  require(!inexact, `the integer ${number} exceeds 2^53 - 1`);
  return String(number);
}

function spelled(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return spelledNumber(value);
  if (typeof value === "string") return spelledText(value);
  if (Array.isArray(value)) return `[${value.map(spelled).join(",")}]`;
  const keys = Object.keys(value).sort(); // by UTF-16 code units, as the RFC says
  return `{${keys.map((key) => `${spelledText(key)}:${spelled(value[key])}`).join(",")}}`;
}

/** Return the bytes of a value made of plain objects, arrays, texts, numbers, booleans and null. */
export const encodeJson = (value) => utf8(spelled(value));

/** Return the value of canonical JSON; `what` names it if it is none. */
export function decodeJson(bytes, what) {
  const text = textOf(bytes, what);
  let value;
  let again;
  try {
    value = JSON.parse(text);
    again = encodeJson(value);
  } catch (error) {
    throw new Refused(`${what} is not canonical JSON: ${error.message}`);
  }
  require(sameBytes(again, bytes), `${what} is not canonical JSON: the same value is spelled differently in RFC 8785`);
  return value;
}

export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** Return whether an object has exactly these members. */
export const hasExactly = (value, names) =>
  isObject(value) && Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));

/** Return whether two JSON values are the same. */
export const sameJson = (one, other) => one !== undefined && other !== undefined && spelled(one) === spelled(other);
