// SHA-256 (FIPS 180-4), synchronous: a log has more hashes than WebCrypto answers one by one, and none of it where a
// page is neither local nor behind TLS.

import { hexOf } from "./bytes.js";

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const ROUND = new Uint32Array(64);
const START = new Uint32Array(8);

for (let candidate = 2, found = 0; found < 64; candidate++) {
  let prime = true;
  for (let factor = 2; factor * factor <= candidate; factor++) prime &&= candidate % factor !== 0;
  if (!prime) continue;
  if (found < 8) START[found] = fraction32(candidate, 2n);
  ROUND[found++] = fraction32(candidate, 3n);
}

/** Return the first 32 bits after the point of the square (2n) or cube (3n) root of a small integer, exactly. */
function fraction32(integer, degree) {
  const target = BigInt(integer) << (32n * degree);
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** degree <= target) low = middle;
    else high = middle;
  }
  return Number(low & 0xffffffffn);
}

/** Return the 32-byte digest of the parts, one after the other. */
export function sha256(...parts) {
  const state = START.slice();
  const words = new Uint32Array(64);
  const block = new Uint8Array(64);
  let held = 0;
  let total = 0;
  for (const part of parts) {
    total += part.length;
    let at = 0;
    if (held) {
      at = Math.min(64 - held, part.length);
      block.set(part.subarray(0, at), held);
      held += at;
      if (held < 64) continue;
      compress(state, words, block, 0);
      held = 0;
    }
    for (; at + 64 <= part.length; at += 64) compress(state, words, part, at);
    block.set(part.subarray(at), 0);
    held = part.length - at;
  }
  block.fill(0, held);
  block[held] = 0x80;
  if (held >= 56) {
    compress(state, words, block, 0);
    block.fill(0);
  }
  const length = new DataView(block.buffer);
  length.setUint32(56, Math.floor(total / 0x20000000));
  length.setUint32(60, (total * 8) >>> 0);
  compress(state, words, block, 0);
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  state.forEach((word, at) => out.setUint32(4 * at, word));
  return digest;
}

export const sha256Hex = (...parts) => hexOf(sha256(...parts));

function compress(state, words, bytes, at) {
  for (let t = 0; t < 16; t++, at += 4) {
    words[t] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  }
  for (let t = 16; t < 64; t++) {
    const early = words[t - 15];
    const late = words[t - 2];
    const s0 = ((early >>> 7) | (early << 25)) ^ ((early >>> 18) | (early << 14)) ^ (early >>> 3);
    const s1 = ((late >>> 17) | (late << 15)) ^ ((late >>> 19) | (late << 13)) ^ (late >>> 10);
    words[t] = (words[t - 16] + s0 + words[t - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[t] + words[t]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}
