// SHA-512 (FIPS 180-4) in big integers: slow and short. Only Ed25519 needs it, for messages under a kilobyte.

const MASK = (1n << 64n) - 1n;
const ROUND = [];
const START = [];

for (let candidate = 2n; ROUND.length < 80; candidate++) {
  let prime = true;
  for (let factor = 2n; factor * factor <= candidate; factor++) prime &&= candidate % factor !== 0n;
  if (!prime) continue;
  if (START.length < 8) START.push(fraction64(candidate, 2n));
  ROUND.push(fraction64(candidate, 3n));
}

/** Return the first 64 bits after the point of the square (2n) or cube (3n) root of a small integer, exactly. */
function fraction64(integer, degree) {
  const target = integer << (64n * degree);
  let low = 0n;
  let high = 1n << 72n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** degree <= target) low = middle;
    else high = middle;
  }
  return low & MASK;
}

const turn = (word, by) => ((word >> by) | (word << (64n - by))) & MASK;

/** Return the 64-byte digest of bytes. */
export function sha512(bytes) {
  const padded = new Uint8Array(Math.ceil((bytes.length + 17) / 128) * 128);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  let state = START.slice();
  for (let at = 0; at < padded.length; at += 128) state = compressed(state, view, at);
  const digest = new DataView(new ArrayBuffer(64));
  state.forEach((word, index) => digest.setBigUint64(8 * index, word));
  return new Uint8Array(digest.buffer);
}

function compressed(state, view, at) {
  const words = [];
  for (let t = 0; t < 16; t++) words.push(view.getBigUint64(at + 8 * t));
  for (let t = 16; t < 80; t++) {
    const early = words[t - 15];
    const late = words[t - 2];
    const s0 = turn(early, 1n) ^ turn(early, 8n) ^ (early >> 7n);
    const s1 = turn(late, 19n) ^ turn(late, 61n) ^ (late >> 6n);
    words.push((words[t - 16] + s0 + words[t - 7] + s1) & MASK);
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 80; t++) {
    const s1 = turn(e, 14n) ^ turn(e, 18n) ^ turn(e, 41n);
    const one = (h + s1 + ((e & f) ^ (~e & MASK & g)) + ROUND[t] + words[t]) & MASK;
    const s0 = turn(a, 28n) ^ turn(a, 34n) ^ turn(a, 39n);
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) & MASK;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) & MASK, c, b, a, (one + two) & MASK];
  }
  return [a, b, c, d, e, f, g, h].map((word, index) => (word + state[index]) & MASK);
}
