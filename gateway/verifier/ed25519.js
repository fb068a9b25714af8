// Ed25519 verification (RFC 8032 §5.1.7), our own: WebCrypto has it only in new browsers and only on local or TLS
// pages. It handles public values only, so nothing here need take constant time. One signature costs some 10 ms.

import { sha512 } from "./sha512.js";
import { join, sameBytes } from "./bytes.js";

const P = (1n << 255n) - 19n;
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const BASE = pointOf(mod(4n * inverse(5n)), 0n);
/** Extended coordinates (X, Y, Z, T) of the neutral point. */
const NEUTRAL = [0n, 1n, 1n, 0n];

/** Return whether `signature` (64 bytes) is that of `message` under `key` (32 bytes). */
export function verifyEd25519(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const s = littleEndian(signature.subarray(32));
  const y = littleEndian(key);
  const a = pointOf(y & ((1n << 255n) - 1n), y >> 255n);
  if (s >= ORDER || a === null) return false;
  const k = littleEndian(sha512(join(signature.subarray(0, 32), key, message))) % ORDER;
  const minusA = [mod(-a[0]), a[1], a[2], mod(-a[3])];
  return sameBytes(encode(sum(s, BASE, k, minusA)), signature.subarray(0, 32));
}

function mod(value) {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base, exponent) {
  let result = 1n;
  for (let square = mod(base); exponent > 0n; exponent >>= 1n, square = (square * square) % P) {
    if (exponent & 1n) result = (result * square) % P;
  }
  return result;
}

function inverse(value) {
  return power(value, P - 2n);
}

function littleEndian(bytes) {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at]);
  return value;
}

/** Return the point with this y and this lowest bit of x, or null if there is none. */
function pointOf(y, sign) {
  y = mod(y);
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  let x = mod(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  const square = mod(v * x * x);
  if (square !== u) {
    if (square !== mod(-u)) return null;
    x = (x * ROOT_OF_MINUS_ONE) % P;
  }
  if (x === 0n && sign === 1n) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, (x * y) % P];
}

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  return [mod((b - a) * (d - c)), mod((d + c) * (b + a)), mod((d - c) * (d + c)), mod((b - a) * (b + a))];
}

/** Return s·one + k·other, both at once (Shamir's trick). */
function sum(s, one, k, other) {
  const both = add(one, other);
  let point = NEUTRAL;
  for (let bit = 255n; bit >= 0n; bit--) {
    point = add(point, point);
    const which = Number(((s >> bit) & 1n) | (((k >> bit) & 1n) << 1n));
    if (which) point = add(point, [one, other, both][which - 1]);
  }
  return point;
}

function encode([x, y, z]) {
  const unscale = inverse(z);
  let value = mod(y * unscale) | ((mod(x * unscale) & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, () => {
    const byte = Number(value & 255n);
    value >>= 8n;
    return byte;
  });
}
