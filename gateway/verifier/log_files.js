// A log's folder (C2SP tlog-tiles): entries from its bundles, and every tile recomputed from them up to the signed root.

import { Refused, require, sameBytes } from "./bytes.js";
import { openCheckpoint } from "./checkpoint.js";
import { leafHash, treeRoot } from "./merkle.js";

const WIDTH = 256;
const ENTRY_LIMIT_BYTES = 65_535;

/** Return the path of a tile: `level` is a number or "entries", `width` 1–256 (256 = full). */
export function tilePath(level, index, width) {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g);
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${path}${width === WIDTH ? "" : `.p/${width}`}`;
}

/** Return `width` entries of a bundle: u16 big-endian length and bytes each. */
export function readBundle(bytes, width, path) {
  const entries = [];
  let at = 0;
  for (let number = 0; number < width; number++) {
    const start = at + 2;
    require(start <= bytes.length, `${path}: the bundle ends within entry ${number} of ${width}`);
    at = start + ((bytes[at] << 8) | bytes[at + 1]);
    require(at <= bytes.length, `${path}: the bundle ends within entry ${number} of ${width}`);
    entries.push(bytes.subarray(start, at));
  }
  require(at === bytes.length, `${path}: ${bytes.length - at} bytes after the last of ${width} entries`);
  return entries;
}

async function readFile(folder, path, limitBytes) {
  const bytes = await folder.read(path);
  require(bytes !== null, `${path}: the file is missing; the log is damaged or incomplete`);
  require(bytes.length <= limitBytes, `${path}: the file is longer than ${limitBytes} bytes, which it can never be`);
  return bytes;
}

/** Return the bytes of a tile or bundle of a width, which the full one that has replaced it may hold, and its width. */
async function readTile(folder, level, index, width) {
  const of = level === "entries" ? 2 + ENTRY_LIMIT_BYTES : 32;
  for (const held of width === WIDTH ? [WIDTH] : [width, WIDTH]) {
    const path = tilePath(level, index, held);
    if (held === width && width < WIDTH && !folder.has(path)) continue;
    return { path, held, bytes: await readFile(folder, path, held * of) };
  }
  throw new Refused(`${tilePath(level, index, width)}: the file is missing; the log is damaged or incomplete`);
}

/** Return all entries of a log of `size`, each bundle decoded. */
async function readEntries(folder, size, told) {
  const entries = [];
  for (let index = 0; index * WIDTH < size; index++) {
    const width = Math.min(WIDTH, size - index * WIDTH);
    const { path, held, bytes } = await readTile(folder, "entries", index, width);
    entries.push(...readBundle(bytes, held, path).slice(0, width));
    await told(entries.length, size);
  }
  return entries;
}

/** Throw unless the files of one row of hashes (level 0: the leaf hashes) hold just these, older partial ones too. */
async function checkRow(folder, level, hashes) {
  for (let index = 0; index * WIDTH < hashes.length; index++) {
    const row = hashes.slice(index * WIDTH, (index + 1) * WIDTH);
    const { path, held, bytes } = await readTile(folder, level, index, row.length);
    require(bytes.length === held * 32, `${path}: ${bytes.length} bytes instead of ${held} hashes`);
    const sound = row.every((hash, at) => sameBytes(hash, bytes.subarray(32 * at, 32 * at + 32)));
    require(sound, `${path}: it is not what the entries make it`);
    for (let width = 1; width < row.length; width++) {
      const older = tilePath(level, index, width);
      if (folder.has(older)) require(sameBytes(await readFile(folder, older, WIDTH * 32), bytes.subarray(0, width * 32)), `${older}: it is not what the entries make it`);
    }
  }
}

async function checkOlderBundles(folder, entries) {
  for (let index = 0; index * WIDTH < entries.length; index++) {
    const here = entries.slice(index * WIDTH, (index + 1) * WIDTH);
    for (let width = 1; width < here.length; width++) {
      const path = tilePath("entries", index, width);
      if (!folder.has(path)) continue;
      const older = readBundle(await readFile(folder, path, width * (2 + ENTRY_LIMIT_BYTES)), width, path);
      require(older.every((entry, at) => sameBytes(entry, here[at])), `${path}: it has other entries than the log`);
    }
  }
}

/**
 * Return {checkpoint, note, entries, leafHashes} of a log's folder, having recomputed all of it.
 *
 * `folder` is {has(path), names(), read(path) → bytes or null}; `told(done, of)` is called on the way.
 */
export async function readLogFiles(folder, key, told = async () => {}) {
  const note = await readFile(folder, "checkpoint", 1_000_000);
  const checkpoint = openCheckpoint(note, key);
  const entries = await readEntries(folder, checkpoint.size, told);
  await checkOlderBundles(folder, entries);
  const leafHashes = entries.map(leafHash);
  for (let level = 0, row = leafHashes; row.length; level++) {
    await checkRow(folder, level, row);
    const above = [];
    for (let at = 0; at + WIDTH <= row.length; at += WIDTH) above.push(treeRoot(row.slice(at, at + WIDTH)));
    row = above;
  }
  require(sameBytes(treeRoot(leafHashes), checkpoint.root), "checkpoint: its root is not that of the entries");
  return { checkpoint, note, entries, leafHashes };
}
