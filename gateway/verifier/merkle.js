// Merkle trees as in RFC 6962 §2.1; proofs are verified as RFC 9162 §2.1.3.2 and §2.1.4.2 say. Sizes are below 2^53.

import { require, sameBytes } from "./bytes.js";
import { sha256 } from "./sha256.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export const EMPTY_ROOT = sha256(new Uint8Array());
export const leafHash = (entry) => sha256(LEAF, entry);
export const nodeHash = (left, right) => sha256(NODE, left, right);

const isOdd = (number) => number % 2 === 1;
const half = (number) => Math.floor(number / 2);

/** Return the root over hashes in order: leaf hashes, or hashes of equally large complete subtrees. */
export function treeRoot(hashes) {
  if (!hashes.length) return EMPTY_ROOT;
  let row = hashes;
  while (row.length > 1) {
    const above = [];
    for (let at = 0; at + 1 < row.length; at += 2) above.push(nodeHash(row[at], row[at + 1]));
    if (isOdd(row.length)) above.push(row.at(-1)); // lifted unchanged: the split at the largest power of two
    row = above;
  }
  return row[0];
}

/** Return by size the roots of the first so many leaves, for sizes up to the number of leaves. */
export function rootsAt(leafHashes, sizes) {
  const wanted = new Set(sizes);
  const roots = new Map(wanted.has(0) ? [[0, EMPTY_ROOT]] : []);
  const peaks = []; // [height, hash] of complete subtrees, from the left
  leafHashes.forEach((hash, at) => {
    peaks.push([0, hash]);
    while (peaks.length > 1 && peaks.at(-1)[0] === peaks.at(-2)[0]) {
      const [[height, left], [, right]] = peaks.splice(-2);
      peaks.push([height + 1, nodeHash(left, right)]);
    }
    if (wanted.has(at + 1)) roots.set(at + 1, peaks.map(([, peak]) => peak).reduceRight((right, left) => nodeHash(left, right)));
  });
  return roots;
}

export function verifyInclusion(leaf, index, size, hashes, root) {
  require(index < size, `a tree of ${size} leaves has no leaf ${index}`);
  let here = index;
  let last = size - 1;
  let reached = leaf;
  for (const sibling of hashes) {
    require(last > 0, "the inclusion proof is longer than the path to the root");
    if (isOdd(here) || here === last) {
      reached = nodeHash(sibling, reached);
      while (!isOdd(here) && here > 0) {
        here = half(here);
        last = half(last);
      }
    } else {
      reached = nodeHash(reached, sibling);
    }
    here = half(here);
    last = half(last);
  }
  require(last === 0, "the inclusion proof is shorter than the path to the root");
  require(sameBytes(reached, root), "the inclusion proof does not lead to the root");
}

/** Throw unless the first `old` leaves under `oldRoot` begin the tree of `size` leaves under `root`. */
export function verifyConsistency(old, oldRoot, size, root, hashes) {
  require(old <= size, `a tree of ${size} leaves does not continue one of ${old}`);
  if (old === 0 || old === size) {
    require(hashes.length === 0, "a consistency proof where there is nothing to prove");
    require(old === 0 || sameBytes(oldRoot, root), `two different trees of ${old} leaves`);
    return;
  }
  const complete = Number.isInteger(Math.log2(old)) && 2 ** Math.round(Math.log2(old)) === old;
  const path = complete ? [oldRoot, ...hashes] : hashes;
  require(path.length > 0, "the consistency proof is empty");
  let here = old - 1;
  let last = size - 1;
  while (isOdd(here)) {
    here = half(here);
    last = half(last);
  }
  let before = path[0];
  let after = path[0];
  for (const sibling of path.slice(1)) {
    require(last > 0, "the consistency proof is longer than the path to the root");
    if (isOdd(here) || here === last) {
      before = nodeHash(sibling, before);
      after = nodeHash(sibling, after);
      while (!isOdd(here) && here > 0) {
        here = half(here);
        last = half(last);
      }
    } else {
      after = nodeHash(after, sibling);
    }
    here = half(here);
    last = half(last);
  }
  require(last === 0, "the consistency proof is shorter than the path to the root");
  require(sameBytes(before, oldRoot), "the consistency proof does not lead to the old root");
  require(sameBytes(after, root), "the consistency proof does not lead to the new root");
}
