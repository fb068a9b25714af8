// How long after its end each window was cosigned: the cosigned checkpoints beside the log, each checked first.

import { require, sameBytes } from "./bytes.js";
import { openCheckpoint } from "./checkpoint.js";
import { WINDOW_S } from "./event.js";
import { rootsAt } from "./merkle.js";
import { cosignedAt, parseNote, signedBy } from "./note.js";
import { NO_QUORUM, meetsQuorum } from "./trust_policy.js";

const PATH = /^cosigned\/(0|[1-9][0-9]{0,15})$/;

/** Return {keys: name → key, isMet}: whose cosignatures count; by the policy if it demands any, else by entry 0. */
export function whoCounts(event, policy) {
  if (policy && (policy.quorum !== NO_QUORUM || !event.witnesses.length)) {
    const demands = policy.quorum !== NO_QUORUM;
    return { keys: policy.witnesses, isMet: (names) => (demands ? meetsQuorum(policy, names) : names.size > 0) };
  }
  const least = Math.max(event.requiredWitnesses, 1);
  return { keys: new Map(event.witnesses.map(({ name, key }) => [name, key])), isMet: (names) => names.size >= least };
}

/** Return when each cosigned checkpoint at hand had enough cosignatures (unix seconds), by size, ascending. */
export async function cosignedTimes(folder, files, proven, key, { keys, isMet }) {
  const notes = new Map();
  for (const path of folder.names()) {
    const size = PATH.exec(path)?.[1];
    if (size !== undefined) notes.set(Number(size), await folder.read(path));
  }
  if (proven && proven.size <= files.leafHashes.length && holds(proven.note, keys) && !notes.has(proven.size)) notes.set(proven.size, proven.note);
  const roots = rootsAt(files.leafHashes, [...notes.keys()]);
  const times = new Map();
  for (const [size, note] of [...notes].sort(([one], [other]) => one - other)) {
    const checkpoint = openCheckpoint(note, key);
    const found = signedBy(parseNote(note), [...keys.values()]);
    require(checkpoint.size === size, `the cosigned checkpoint ${size} is one of size ${checkpoint.size}`);
    require(roots.has(size), `there is a cosigned checkpoint of size ${size}, and this copy of the log is shorter`);
    require(sameBytes(checkpoint.root, roots.get(size)), `the cosigned checkpoint ${size} is of another history than this log: its key has signed both`);
    const said = found.map((one) => [[...keys].find(([, known]) => known === one.key)[0], Number(cosignedAt(one.signature))]);
    const at = said.map(([, time]) => time).sort((a, b) => a - b)
      .find((time) => isMet(new Set(said.filter(([, other]) => other <= time).map(([name]) => name))));
    if (at !== undefined) times.set(size, at);
  }
  return times;
}

function holds(note, keys) {
  try {
    signedBy(parseNote(note), [...keys.values()]);
    return true;
  } catch {
    return false; // it was reported with the quorum
  }
}

/** Return {delayS, window, undated}: the largest delay; null if no dated state holds any window. */
export function largestDelay(log, times) {
  const sizes = [...times.keys()];
  // A later state that was dated earlier, by another witness, holds the windows of this one as well.
  const dated = sizes.map((_, at) => Math.min(...sizes.slice(at).map((size) => times.get(size))));
  let worst = null;
  let undated = 0;
  for (const { index, window } of log.windows.values()) {
    const at = sizes.findIndex((size) => size > index);
    if (at < 0) undated += 1;
    else {
      const delayS = Math.max(dated[at] - window - WINDOW_S, 0);
      if (worst === null || delayS >= worst.delayS) worst = { delayS, window };
    }
  }
  return worst && { ...worst, undated };
}
