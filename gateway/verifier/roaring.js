// The Roaring portable format, read strictly: every length, order and cardinality is checked, and that each container is
// in its smallest form, as the reference implementation writes it after run optimisation.

import { require, viewOf } from "./bytes.js";
import { Seats } from "./seats.js";

const COOKIE = 12346;
const COOKIE_WITH_RUNS = 12347;
const ARRAY_LIMIT = 4096;
const BITS_BYTES = 8192;
const OFFSETS_FROM = 4;

/** Return the set in these bytes. */
export function readSeats(bytes) {
  const view = viewOf(bytes);
  const u16 = (at) => {
    require(at + 2 <= bytes.length, "the Roaring set ends too early");
    return view.getUint16(at, true);
  };
  const u32 = (at) => {
    require(at + 4 <= bytes.length, "the Roaring set ends too early");
    return view.getUint32(at, true);
  };
  const cookie = u32(0);
  const withRuns = cookie !== COOKIE && (cookie & 0xffff) === COOKIE_WITH_RUNS;
  require(cookie === COOKIE || withRuns, `unknown Roaring cookie ${cookie}`);
  const count = withRuns ? (cookie >>> 16) + 1 : u32(4);
  require(count <= 65536, "a Roaring set has at most 65,536 containers");
  const flags = withRuns ? 4 : 8; // where the bits are that say which containers are run-coded
  const descriptors = flags + (withRuns ? Math.ceil(count / 8) : 0);
  require(bytes.length >= descriptors + 4 * count, "the Roaring set ends before its descriptors do");
  const isRun = (number) => withRuns && ((bytes[flags + (number >> 3)] >> (number & 7)) & 1) === 1;
  const offsets = descriptors + 4 * count;
  const hasOffsets = !withRuns || count >= OFFSETS_FROM;
  const seats = new Seats();
  let at = offsets + (hasOffsets ? 4 * count : 0);
  let before = -1;
  let runs = 0;
  for (let number = 0; number < count; number++) {
    const high = u16(descriptors + 4 * number);
    const cardinality = u16(descriptors + 4 * number + 2) + 1;
    require(high > before, "containers are not in ascending order");
    require(!hasOffsets || u32(offsets + 4 * number) === at, "a container is not where its offset says");
    before = high;
    runs += isRun(number);
    const words = seats.chunk(high);
    if (isRun(number)) at = readRuns(at, u16, cardinality, words);
    else if (cardinality <= ARRAY_LIMIT) at = readArray(at, u16, cardinality, words);
    else at = readBits(at, bytes, view, cardinality, words);
  }
  require(at === bytes.length, "bytes follow the last container");
  require(!withRuns || runs > 0, "no container is run-coded, and yet the cookie says so");
  for (let bit = count; withRuns && bit < 8 * Math.ceil(count / 8); bit++) require(!isRun(bit), "a run bit of no container");
  return seats;
}

function readRuns(at, u16, cardinality, words) {
  const runs = u16(at);
  at += 2;
  let total = 0;
  let reached = -2;
  for (let run = 0; run < runs; run++, at += 4) {
    const first = u16(at);
    const last = first + u16(at + 2);
    require(first > reached + 1 && last <= 0xffff, "runs overlap, touch or are not in ascending order");
    reached = last;
    total += last - first + 1;
    for (let value = first; value <= last; value++) words[value >>> 5] |= 1 << (value & 31);
  }
  require(total === cardinality, "a run container contradicts its cardinality");
  // Equally long, an array is what is written, and either is taken.
  require(2 + 4 * runs <= Math.min(2 * cardinality, BITS_BYTES), "a run container where another form is shorter");
  return at;
}

function readArray(at, u16, cardinality, words) {
  let before = -2;
  let runs = 0;
  for (let index = 0; index < cardinality; index++, at += 2) {
    const value = u16(at);
    require(value > before, "an array container is not ascending");
    runs += value !== before + 1;
    before = value;
    words[value >>> 5] |= 1 << (value & 31);
  }
  require(2 * cardinality <= 2 + 4 * runs, "an array container where runs are shorter");
  return at;
}

function readBits(at, bytes, view, cardinality, words) {
  require(at + BITS_BYTES <= bytes.length, "the Roaring set ends within a bit container");
  let runs = 0;
  let carry = 0;
  for (let word = 0; word < words.length; word++) {
    const bits = view.getUint32(at + 4 * word, true);
    words[word] = bits;
    for (let starts = bits & ~((bits << 1) | carry); starts; starts &= starts - 1) runs += 1;
    carry = bits >>> 31;
  }
  require(new Seats(new Map([[0, words]])).size === cardinality, "a bit container contradicts its cardinality");
  require(BITS_BYTES <= 2 + 4 * runs, "a bit container where runs are shorter");
  return at + BITS_BYTES;
}
