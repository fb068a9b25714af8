// HyperLogLog as Redis keeps it: 16,384 registers of ranks 0–51, their canonical bytes, and the estimate of PFCOUNT
// (O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6).

import { require } from "./bytes.js";

export const REGISTERS = 16384;
export const PACKED_BYTES = 12288;
const MAX_RANK = 51;
const ALPHA_INFINITY = 0.72134752044448170368;
/** From this many registers on the packed form is not longer than triples. */
const SPARSE_LIMIT = PACKED_BYTES / 3;

/** Return the 12,288 bytes of registers: 6 bits each, least significant bit first. */
export function pack(registers) {
  const packed = new Uint8Array(PACKED_BYTES);
  for (let from = 0, at = 0; from < REGISTERS; from += 4, at += 3) {
    const group = registers[from] | (registers[from + 1] << 6) | (registers[from + 2] << 12) | (registers[from + 3] << 18);
    packed[at] = group;
    packed[at + 1] = group >> 8;
    packed[at + 2] = group >> 16;
  }
  return packed;
}

/** Return the registers in a section of a segment: 12,288 bytes, or triples of u16 register and u8 rank if shorter. */
export function readRegisters(bytes) {
  const registers = new Uint8Array(REGISTERS);
  if (bytes.length === PACKED_BYTES) {
    for (let at = 0, to = 0; at < PACKED_BYTES; at += 3, to += 4) {
      const group = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
      for (let part = 0; part < 4; part++) registers[to + part] = (group >> (6 * part)) & 63;
    }
    require(registers.every((rank) => rank <= MAX_RANK), `a register holds a rank over ${MAX_RANK}`);
    const filled = registers.reduce((count, rank) => count + (rank > 0), 0);
    require(filled >= SPARSE_LIMIT, "registers are packed although the sparse form is shorter");
    return registers;
  }
  require(bytes.length % 3 === 0 && bytes.length < PACKED_BYTES, "registers are neither sparse nor packed");
  let before = -1;
  for (let at = 0; at < bytes.length; at += 3) {
    const register = bytes[at] | (bytes[at + 1] << 8);
    require(register > before && register < REGISTERS, "sparse registers are not in ascending order");
    require(bytes[at + 2] >= 1 && bytes[at + 2] <= MAX_RANK, `a sparse register holds no rank from 1 to ${MAX_RANK}`);
    registers[register] = bytes[at + 2];
    before = register;
  }
  return registers;
}

/** Raise registers to those of another sketch: the union. */
export function raise(registers, other) {
  for (let at = 0; at < REGISTERS; at++) if (other[at] > registers[at]) registers[at] = other[at];
  return registers;
}

/** Return how many different elements were added, as PFCOUNT does. */
export function estimate(registers) {
  const holding = new Array(MAX_RANK + 1).fill(0);
  for (const rank of registers) holding[rank] += 1;
  let z = REGISTERS * tau((REGISTERS - holding[MAX_RANK]) / REGISTERS);
  for (let rank = MAX_RANK - 1; rank > 0; rank--) z = (z + holding[rank]) * 0.5;
  z += REGISTERS * sigma(holding[0] / REGISTERS);
  return Math.floor((ALPHA_INFINITY * REGISTERS * REGISTERS) / z + 0.5);
}

function sigma(x) {
  if (x === 1) return Infinity;
  let weight = 1;
  let total = x;
  for (let previous = -1; total !== previous; ) {
    x *= x;
    previous = total;
    total += x * weight;
    weight += weight;
  }
  return total;
}

function tau(x) {
  if (x === 0 || x === 1) return 0;
  let weight = 1;
  let total = 1 - x;
  for (let previous = -1; total !== previous; ) {
    x = Math.sqrt(x);
    previous = total;
    weight *= 0.5;
    total -= (1 - x) ** 2 * weight;
  }
  return total / 3;
}
