// Checkpoints (C2SP tlog-checkpoint) and the offline envelope of one entry (C2SP tlog-proof).

import { Refused, compareBytes, fromBase64, require, sameBytes, textOf } from "./bytes.js";
import { EMPTY_ROOT, leafHash, verifyInclusion } from "./merkle.js";
import { parseNote, signedBy } from "./note.js";

const MAGIC = "c2sp.org/tlog-proof@v1";
const HASHES_LIMIT = 63;

/** Return a size or index: decimal without leading zeros, and small enough to be exact here. */
function readCount(text, what) {
  const number = Number(text);
  require(/^(0|[1-9][0-9]{0,18})$/.test(text), () => `${what} is no decimal number: ${JSON.stringify(text.slice(0, 40))}`);
  require(Number.isSafeInteger(number), `${what} is beyond what this page counts to`);
  return number;
}

/** Return {origin, size, root} of exactly the three lines of a checkpoint. */
export function readCheckpoint(text) {
  const lines = text.split("\n");
  require(lines.length === 4 && lines[3] === "", "a checkpoint has exactly three lines: origin, size, root");
  const [origin, size, root] = lines;
  const checkpoint = { origin, size: readCount(size, "the size of a checkpoint"), root: fromBase64(root) };
  require(origin !== "", "the origin of a checkpoint is empty");
  require(checkpoint.root.length === 32, "the root of a checkpoint has 32 bytes");
  require(checkpoint.size > 0 || sameBytes(checkpoint.root, EMPTY_ROOT), "size 0 with a root that is not the empty tree's");
  return checkpoint;
}

/** Return the checkpoint in a note that the log's key has signed. */
export function openCheckpoint(bytes, key) {
  const note = parseNote(bytes);
  require(signedBy(note, [key]).length > 0, `no trusted key has signed the note (trusted: ${key.name})`);
  const checkpoint = readCheckpoint(note.text);
  require(checkpoint.origin === key.name, () => `this is a checkpoint of the log ${checkpoint.origin}, not of ${key.name}`);
  return checkpoint;
}

/** Return {index, hashes, note, extra} of a tlog-proof; nothing in it is verified yet. */
export function readProof(bytes) {
  let at = 0;
  while (at + 1 < bytes.length && compareBytes(bytes.subarray(at, at + 2), [10, 10]) !== 0) at++;
  require(at + 1 < bytes.length, "a tlog-proof is a head, an empty line and a checkpoint");
  const lines = textOf(bytes.subarray(0, at), "the head of a tlog-proof").split("\n");
  require(lines.shift() === MAGIC, `a tlog-proof begins with the line ${MAGIC}`);
  const extra = lines[0]?.startsWith("extra ") ? fromBase64(lines.shift().slice("extra ".length)) : null;
  require(extra === null || extra.length > 0, "extra data of no bytes is left out instead");
  const index = lines.shift() ?? "";
  require(index.startsWith("index "), () => `the line 'index <number>' is ${JSON.stringify(index.slice(0, 80))}`);
  require(lines.length <= HASHES_LIMIT, `an inclusion proof has at most ${HASHES_LIMIT} hashes, not ${lines.length}`);
  const hashes = lines.map(fromBase64);
  require(hashes.every((hash) => hash.length === 32), "a hash of an inclusion proof has 32 bytes");
  return { index: readCount(index.slice("index ".length), "the index"), hashes, note: bytes.subarray(at + 2), extra };
}

/** Return the checkpoint that the key has signed and in whose log `entry` has the place that the proof says. */
export function verifyProof(proof, entry, key) {
  let checkpoint;
  try {
    checkpoint = openCheckpoint(proof.note, key);
  } catch (error) {
    throw new Refused(`the checkpoint of the proof: ${error.message}`);
  }
  verifyInclusion(leafHash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root);
  return checkpoint;
}
