// Sets of seats: for each 65,536 seats that hold anybody, 8 KB of bits. Unions of crowds are then loops over words.

const WORDS = 2048;
/** Bit 31 marks guests: devices, which no number of people contains. */
const FIRST_GUEST_CHUNK = 1 << 15;

function ones(word) {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

export class Seats {
  constructor(chunks = new Map()) {
    this.chunks = chunks; // high 16 bits -> words
  }

  static of(seats) {
    const set = new Seats();
    for (const seat of seats) set.add(seat);
    return set;
  }

  /** Return the words of a chunk, to be written to. */
  chunk(high) {
    let words = this.chunks.get(high);
    if (!words) this.chunks.set(high, (words = new Uint32Array(WORDS)));
    return words;
  }

  add(seat) {
    this.chunk(seat >>> 16)[(seat & 0xffff) >>> 5] |= 1 << (seat & 31);
  }

  delete(seat) {
    const words = this.chunks.get(seat >>> 16);
    if (words) words[(seat & 0xffff) >>> 5] &= ~(1 << (seat & 31));
  }

  has(seat) {
    const words = this.chunks.get(seat >>> 16);
    return words !== undefined && (words[(seat & 0xffff) >>> 5] & (1 << (seat & 31))) !== 0;
  }

  get size() {
    let size = 0;
    for (const words of this.chunks.values()) for (let at = 0; at < WORDS; at++) if (words[at]) size += ones(words[at]);
    return size;
  }

  get empty() {
    for (const words of this.chunks.values()) if (words.some((word) => word !== 0)) return false;
    return true;
  }

  copy() {
    return new Seats(new Map([...this.chunks].map(([high, words]) => [high, words.slice()])));
  }

  /** Add all members of another set to this one; return this. */
  absorb(other) {
    for (const [high, words] of other.chunks) {
      const mine = this.chunks.get(high);
      if (!mine) this.chunks.set(high, words.slice());
      else for (let at = 0; at < WORDS; at++) mine[at] |= words[at];
    }
    return this;
  }

  /** Take all members of another set out of this one; return this. */
  remove(other) {
    for (const [high, mine] of this.chunks) {
      const words = other.chunks.get(high);
      if (words) for (let at = 0; at < WORDS; at++) mine[at] &= ~words[at];
    }
    return this;
  }

  /** Take all guests out of this set; return this. */
  removeGuests() {
    for (const high of [...this.chunks.keys()]) if (high >= FIRST_GUEST_CHUNK) this.chunks.delete(high);
    return this;
  }

  minus(other) {
    return this.copy().remove(other);
  }

  /** Return how many members are in another set as well. */
  sizeAnd(other) {
    let size = 0;
    for (const [high, mine] of this.chunks) {
      const words = other.chunks.get(high);
      if (words) for (let at = 0; at < WORDS; at++) if (mine[at] & words[at]) size += ones(mine[at] & words[at]);
    }
    return size;
  }

  and(other) {
    const both = new Map();
    for (const [high, mine] of this.chunks) {
      const words = other.chunks.get(high);
      if (words) both.set(high, mine.map((word, at) => word & words[at]));
    }
    return new Seats(both);
  }

  isSubsetOf(other) {
    return this.sizeAnd(other) === this.size;
  }

  /** Yield the members, ascending. */
  *[Symbol.iterator]() {
    for (const high of [...this.chunks.keys()].sort((a, b) => a - b)) {
      const words = this.chunks.get(high);
      for (let at = 0; at < WORDS; at++) {
        for (let word = words[at]; word; word &= word - 1) yield high * 65536 + at * 32 + (31 - Math.clz32(word & -word));
      }
    }
  }
}
