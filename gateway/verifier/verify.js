// The verifier: takes a certificate apart and says, check by check, what holds, what does not, and what is open and why.
// Whatever is wrong with what it is given becomes a failed check, never an exception.

import { Refused, fromBase64, require, sameBytes } from "./bytes.js";
import { sameJson } from "./canonical_json.js";
import { certificateEntry, checkPublicNumbers, checkStatements, interim, readCertificate } from "./certificate.js";
import { openCheckpoint, readProof, verifyProof } from "./checkpoint.js";
import { checkStands } from "./corrections.js";
import { crossCheck } from "./cross_check.js";
import { checkEvidence, countAttendance } from "./evidence.js";
import { gapsInEvidence } from "./evidence_gaps.js";
import { whenLocked } from "./lock_time.js";
import { holdChanges } from "./issuer_keys.js";
import { readEntries } from "./log_entries.js";
import { readLogFiles } from "./log_files.js";
import { checkMembers } from "./members.js";
import { rootsAt, treeRoot } from "./merkle.js";
import { LOG_KEY, cosignedAt, parseNote, readKey, sameKey, signedBy } from "./note.js";
import { PublicNumbers } from "./public_numbers.js";
import { RULES_BY_ID, SMALL_SCOPES, isKnown, named, scopeKey } from "./rules.js";
import { NO_QUORUM, cosignedBy, meetsQuorum, readPolicy } from "./trust_policy.js";
import { cosignedTimes, largestDelay, whoCounts } from "./witness_delay.js";

/** Why something could not be checked. */
class Open extends Error {}

const LEFT_OUT = {
  1: "how far gaps may have falsified the numbers, the waterfall, the curve, corrections and audits",
  2: "the waterfall, the curve, corrections and audits",
};
const oldForm = (version) => `not checked: a certificate of version ${version} leaves out ${LEFT_OUT[version]}. `
  + "Whoever issues one chose to: ask for one of version 3";

const NEEDS_PROOF = "not checked: this needs the certificate's proof (the file that ends in .tlog-proof)";
const NEEDS_LOG = "not checked: this needs the public log (its folder `log`)";
const NEEDS_EVIDENCE = "not checked: this needs the evidence (its folder `evidence`), which auditors get";

/** One verification. Each check may add to what is known, and later ones use it. */
class Verification {
  constructor(given, words, told) {
    Object.assign(this, { given, words, told, document: null, key: null, proof: null, proven: null, copy: null, files: null, log: null });
    this.notRecomputed = [];
    // By check: what it found that contradicts nothing, but answers its question with other than yes.
    this.alarms = new Map();
  }

  canonicalForm() {
    require(this.given.certificate, "there is no certificate");
    this.document = readCertificate(this.given.certificate);
    return `certificate of ${this.document.event_sha256.slice(0, 16)}…, issued ${this.document.issued_at}`;
  }

  trustedKey() {
    const { log } = this.#document();
    const key = readKey(log.vkey, LOG_KEY);
    require(key.name === log.origin, `the key is named ${key.name}, the log ${log.origin}`);
    this.key = key;
    if (this.given.policy === null) {
      throw new Open("no trust policy was given: the log's key was taken from the certificate itself, so anybody could have "
        + `made both. Compare it with one that you trust: ${log.vkey}`);
    }
    this.policy = readPolicy(this.given.policy);
    require(this.policy.logs.some((known) => sameKey(known, key)), `the trust policy does not name the log key ${log.vkey}`);
    return `the trust policy names ${log.vkey}`;
  }

  inclusion() {
    const document = this.#document();
    if (!this.key) throw new Open("the log's key could not be read");
    if (this.given.proof === null) throw new Open(NEEDS_PROOF);
    const proof = readProof(this.given.proof);
    require(proof.extra === null, "the proof carries extra data, which nobody has signed");
    const checkpoint = verifyProof(proof, certificateEntry(this.given.certificate, document), this.key);
    require(proof.index >= document.log.size, "the certificate stands in the log before the entries that it counts");
    this.proof = proof;
    this.proven = checkpoint;
    return `entry ${proof.index} of ${checkpoint.origin}, signed at size ${checkpoint.size}`;
  }

  async wholeLog() {
    if (!this.given.log) throw new Open(NEEDS_LOG);
    if (!this.key) throw new Open("the log's key could not be read");
    const stated = this.#document().log;
    const files = await readLogFiles(this.given.log, this.key, (done, of) => this.told("Reading the log", done, of));
    const earlier = [["certificate", stated.size, fromBase64(stated.root)], ...(this.proven ? [["proof", this.proven.size, this.proven.root]] : [])];
    // First whatever this copy can contradict: one that is only older says nothing, and is nobody's fault.
    const { checkpoint, leafHashes } = files;
    for (const [name, size, root] of earlier) {
      const same = size > checkpoint.size || sameBytes(treeRoot(leafHashes.slice(0, size)), root);
      require(same, `the log does not begin with the ${size} entries that the ${name} speaks of`);
    }
    this.copy = files;
    if (stated.size <= checkpoint.size) this.files = files;
    const longer = earlier.find(([, size]) => size > checkpoint.size);
    if (longer) {
      throw new Open(`this copy of the log has ${checkpoint.size} entries, fewer than the ${longer[1]} of the ${longer[0]}: it is older; `
        + "fetch the log anew. If it has no more entries now, it was set back");
    }
    return `${checkpoint.size} entries, every tile recomputed; it extends what certificate and proof speak of`;
  }

  noContradiction() {
    if (!this.given.checkpoint) throw new Open("no second checkpoint of this log, saved at another time or place, was given");
    if (!this.proven) throw new Open("the checkpoint of the proof could not be checked");
    let other;
    try {
      other = openCheckpoint(this.given.checkpoint, this.key);
    } catch (error) {
      throw new Open(`it says nothing of this log: ${error.message}`);
    }
    const ours = [this.proven, { size: this.#document().log.size, root: fromBase64(this.#document().log.root) }, this.copy?.checkpoint];
    const known = ours.filter((one) => one && one.size === other.size);
    const forked = known.some((one) => !sameBytes(one.root, other.root));
    require(!forked, `there are two roots for the same ${other.size} entries: the log's key has signed two histories. Publish both`);
    const said = `its ${other.size} entries and the ${this.proven.size} of this proof are of one history`;
    if (this.copy && other.size <= this.copy.leafHashes.length) {
      const root = rootsAt(this.copy.leafHashes, [other.size]).get(other.size);
      require(sameBytes(root, other.root), `this log does not begin with the ${other.size} entries of the second checkpoint: its key has signed two histories. Publish both`);
      return said;
    }
    if (known.length) return said;
    throw new Open(this.copy ? `it has ${other.size} entries, this copy of the log ${this.copy.leafHashes.length}: fetch the log anew. If it has no more entries now, it was set back`
      : `it has ${other.size} entries: whether they are of one history, only the public log can show`);
  }

  notSuperseded() {
    const { entries } = this.#files();
    const { said, known } = checkStands(this.given.certificate, this.#document(), entries, !this.proven || entries.length >= this.proven.size);
    if (!known) throw new Open(said);
    return said;
  }

  eventAndWindows() {
    const log = readEntries(this.#files().entries.slice(0, this.#document().log.size));
    require(log.event.digest === this.#document().event_sha256, "entry 0 locks another event than the certificate names");
    this.log = log;
    const restored = log.restored.map((leaf) => `; entry ${leaf.index} says that the log was RESTORED FROM A BACKUP: evidence `
      + `accepted from ${log.event.iso(leaf.since)} to ${log.event.iso(leaf.at)} may be lost`);
    const { said, alarm } = whenLocked(log);
    if (alarm) this.alarms.set("event and windows", alarm);
    return `${said}; ${log.windows.size} windows in order, each once${restored.join("")}`;
  }

  issuerKeys() {
    const { keys } = this.#log();
    const { entries } = this.#files();
    const { version, log } = this.#document();
    const later = holdChanges(entries.slice(log.size)) ? readEntries(entries).keys.changes.slice(keys.changes.length) : [];
    const { said, alarm } = keys.told(this.words[version], later);
    if (alarm) this.alarms.set("issuer keys", alarm);
    return said;
  }

  witnesses() {
    if (!this.proven) throw new Open(this.given.proof === null ? NEEDS_PROOF : "the checkpoint of the proof could not be checked");
    const note = parseNote(this.proof.note);
    const said = [];
    if (this.log?.event.witnesses.length) {
      const { witnesses, requiredWitnesses } = this.log.event;
      const found = signedBy(note, witnesses.map(({ key }) => key));
      const names = found.map(({ key }) => witnesses.find((witness) => witness.key === key).name).sort();
      said.push(`of the event's witnesses ${cosigned(names)}, ${requiredWitnesses} must`);
      require(names.length >= requiredWitnesses, `${said[0]}: so nobody should have been shown this`);
    }
    if (!this.policy) {
      said.push(this.given.policy === null ? "no trust policy was given: it would say whose cosignatures must stand in the proof"
        : "the trust policy could not be read");
      throw new Open(said.join("; "));
    }
    const found = cosignedBy(this.policy, note);
    const names = [...found.keys()].sort();
    said.push(`of the trust policy's witnesses ${cosigned(names)}${times(found)}`);
    require(meetsQuorum(this.policy, found), `the trust policy demands the quorum '${this.policy.quorum}'; ${said.at(-1)}`);
    return `at size ${this.proven.size} ${said.join("; ")}; it demands ${this.policy.quorum === NO_QUORUM ? "none" : `'${this.policy.quorum}'`}`;
  }

  async witnessDelay() {
    const log = this.#log();
    const who = whoCounts(log.event, this.policy ?? null);
    const proven = this.proven && { size: this.proven.size, note: this.proof.note };
    const times = await cosignedTimes(this.given.log, this.#files(), proven, this.key, who);
    if (!who.keys.size) throw new Open("neither the event nor a trust policy names a witness: nobody outside says when it was written");
    if (!times.size) throw new Open("no checkpoint at hand has the cosignatures that the trust policy, or else entry 0, asks for");
    if (log.event.simulated) throw new Open(`the event's clock was SIMULATED: the times of ${times.size} cosignatures say nothing of it`);
    const found = largestDelay(log, times);
    if (!found) throw new Open("no window of the log is in a cosigned checkpoint that is at hand");
    const left = found.undated ? `; ${found.undated} windows are in none` : "";
    return `at most ${found.delayS.toLocaleString("en")} s from a window's end to its cosignature, of ${log.event.iso(found.window)}${left}; `
      + `${times.size} cosigned checkpoints, all of this history`;
  }

  statements() {
    const words = this.words[this.#document().version];
    const members = checkStatements(this.#log(), this.#document(), words);
    const { version } = this.#document();
    const unsaid = version < 3 ? interim(this.#log(), this.words[3]) : "";
    return `${members} members say what the log says: event, rules, settings, identity, gaps that leaves show`
      + (unsaid ? `. What a certificate of version ${version} does not say: ${unsaid}` : "");
  }

  publicNumbers() {
    const log = this.#log();
    const { count, byLog, otherwise, unbounded } = checkPublicNumbers(log, this.#document(), new PublicNumbers(log));
    const differ = otherwise.length ? `; ${otherwise.length} differ from the leaves as only evidence can show, such as ${otherwise[0]}` : "";
    const free = unbounded.length ? `; NOT BOUNDED BY THE LEAVES, only the evidence shows them: ${unbounded.join(", ")}` : "";
    return `${byLog} of ${count} numbers recomputed from the public leaves${differ}${free}`;
  }

  members() {
    const { version } = this.#document();
    // An operator can issue an old form whenever one suits: what it leaves out must not pass for checked.
    if (version < 3) throw new Open(oldForm(version));
    const said = checkMembers(this.#log(), this.#document(), this.words[this.#document().version]);
    const told = ["comparability", "press"].filter((name) => this.#document()[name]);
    if (told.length) this.notRecomputed.push(`whether the comparability sheet and the press sentences say what the numbers say (${told.join(", ")})`);
    return said;
  }

  async evidence() {
    if (!this.given.evidence) throw new Open(NEEDS_EVIDENCE);
    const log = this.#log();
    this.found = await checkEvidence(log, this.given.evidence, (done, of) => this.told("Checking the evidence", done, of));
    const { files, bytes } = this.found.store;
    return `${log.leaves.length} leaves rebuilt from their segments; ${files} files, ${sizeInWords(bytes)}, each with the digest it is named by`;
  }

  keysOfJoins() {
    if (!this.given.evidence) throw new Open(NEEDS_EVIDENCE);
    this.#log();
    if (!this.found) throw new Open("the evidence could not be read");
    const { said, open } = this.found.keysOfJoins.told();
    if (open) throw new Open(open);
    return said;
  }

  async allNumbers() {
    const log = this.#log();
    if (!this.found) throw new Open(this.given.evidence ? "the evidence did not pass" : NEEDS_EVIDENCE);
    this.counted = await countAttendance(log, this.found, (done, of) => this.told("Counting", done, of));
    const document = this.#document();
    const expected = this.counted.numbers.all(document.issued_at, document.version);
    const said = new Map(document.numbers.filter(isKnown).map((row) => [scopeKey(row.rule, row.scope), row]));
    let bounded = 0;
    let withheld = 0;
    for (const row of expected) {
      const stated = said.get(scopeKey(row.rule, row.scope));
      require(stated, `${named(row)}: the number is left out`);
      const { row: comparable, gaps } = withoutGapBounds(stated);
      bounded += gaps;
      if (sameJson(comparable, row)) continue;
      // Some are withheld so that a smaller one does not follow: that is nobody's advantage, and not recomputed.
      if (document.version > 2 && comparable.suppressed === true && !row.suppressed && SMALL_SCOPES.some((name) => name in row.scope)) {
        withheld += 1;
        continue;
      }
      const differing = Object.keys({ ...row, ...comparable }).sort().filter((name) => !sameJson(comparable[name], row[name]));
      const member = differing.includes("value") ? "value" : differing[0];
      throw new Refused(`${named(row)}: ${member} is ${JSON.stringify(comparable[member])}, the evidence gives ${JSON.stringify(row[member])}`);
    }
    require(said.size === expected.length, "the certificate has numbers of which the evidence knows nothing");
    const others = document.numbers.filter((row) => !isKnown(row));
    const names = [...new Set(others.map(({ rule, scope }) => (RULES_BY_ID.has(rule) ? `by ${Object.keys(scope)[0]}` : rule)))];
    if (others.length) this.notRecomputed.push(`${others.length} of ${document.numbers.length} numbers (${names.join(", ")})`);
    if (withheld) this.notRecomputed.push(`which ${withheld} numbers are withheld so that smaller ones do not follow from them`);
    if (bounded) this.notRecomputed.push(`the bounds that gaps give ${bounded} numbers`);
    return `${expected.length} of ${document.numbers.length} numbers come out the same from bitmaps and journals${others.length ? "; the others this page does not recompute" : ""}`;
  }

  rest() {
    if (!this.counted) throw new Open(this.given.evidence ? "the evidence did not pass" : NEEDS_EVIDENCE);
    const [log, document, { attendance, roll, views, numbers }] = [this.#log(), this.#document(), this.counted];
    const words = this.words[document.version];
    const gross = attendance.gross(null, null, null);
    const excluded = gross.sizeAnd(roll.excluded);
    const net = attendance.net(null, null, null).size;
    const has = (channel) => !attendance.net(channel, null, null).empty;
    const { bounds, ...gaps } = document.gaps;
    const expected = {
      format: [document.event.format, has("onsite") ? (has("online") ? "hybrid" : "physical") : "online"],
      aliases: [document.aliases, { count: roll.aliasCount, sha256: roll.aliasesSha256(), statement: words.aliases }],
      exclusions: [document.exclusions, {
        categories: log.event.excludeCategories, unit: "identities", gross: gross.size, excluded,
        guests: gross.size - excluded - net, net,
        views_gross: views.length, views_excluded: views.length - numbers.views.length, views_net: numbers.views.length }],
      cross_check: [document.cross_check, crossCheck(attendance, this.found.sketches, words.cross_check, document.version, document.numbers)],
      gaps: [without(gaps, GAPS_OF_LOG), gapsInEvidence(log, this.found, this.counted)],
    };
    for (const [name, [said, gives]] of Object.entries(expected)) {
      require(sameJson(said, gives), () => `the certificate's '${name}' is not what the evidence gives`);
    }
    if (bounds?.rows?.length) this.notRecomputed.push("what each gap may hide (`gaps.bounds`)");
    const beside = ["waterfall", "minutes", "apart", "curve"].filter((name) => document[name]);
    if (beside.length) this.notRecomputed.push(`what stands beside the numbers (${beside.join(", ")}), but holds it against numbers and log`);
    const { unions } = document.cross_check;
    return `${roll.aliasCount} second seats, ${excluded} excluded; estimates of ${unions.length} sketches from their registers`;
  }

  #document() {
    if (!this.document) throw new Open("the certificate could not be read");
    return this.document;
  }

  #files() {
    if (!this.files) throw new Open(this.given.log ? "the log did not pass" : NEEDS_LOG);
    return this.files;
  }

  #log() {
    if (!this.log) throw new Open(this.given.log ? "the log did not pass" : NEEDS_LOG);
    return this.log;
  }
}

/** Gaps that public leaves show: they have been held against the log. */
const GAPS_OF_LOG = ["log_restored_from_backup", "gateways_retired", "scheduled_windows_without_leaf", "scheduled_windows_to_come",
  "windows_with_missing_workers", "late_evidence"];

const without = (members, names) => Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));

/** A number without what gaps add to it, and whether they did: beside a value `bounds` are theirs. */
function withoutGapBounds(said) {
  const ofGaps = ["bounds_with_gaps", ...(said.value === null ? [] : ["bounds"])].filter((name) => Object.hasOwn(said, name));
  return { row: without(said, ofGaps), gaps: ofGaps.length > 0 };
}

const sizeInWords = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`);

const cosigned = (names) => `${names.join(", ") || "nobody"} ${names.length < 2 ? "has" : "have"} cosigned`;

function times(found) {
  const said = [...found].map(([name, signature]) => `${name} at ${new Date(Number(cosignedAt(signature)) * 1000).toISOString().slice(0, 19)}Z`);
  return said.length ? ` (${said.join(", ")})` : "";
}

const always = () => true;
const never = () => false;
const withLog = (given) => given.log !== null;
const withEvidence = (given) => given.evidence !== null;

/** Name and method of each check, and whether what was given asks for it: what nobody asked for may stay open. */
const CHECKS = [
  ["canonical form", "canonicalForm", always],
  ["trusted key", "trustedKey", always],
  ["proof of inclusion", "inclusion", always],
  ["whole log", "wholeLog", withLog],
  ["event and windows", "eventAndWindows", withLog],
  ["issuer keys", "issuerKeys", withLog],
  ["not superseded", "notSuperseded", withLog],
  ["witnesses", "witnesses", always],
  ["witness delay", "witnessDelay", never],
  ["no contradiction", "noContradiction", (given) => given.checkpoint !== null],
  ["public statements", "statements", withLog],
  ["public numbers", "publicNumbers", withLog],
  ["members", "members", withLog],
  ["evidence", "evidence", withEvidence],
  ["keys of joins", "keysOfJoins", withEvidence],
  ["all numbers", "allNumbers", withEvidence],
  ["roll and cross-check", "rest", withEvidence],
];

/**
 * Return {verdict, checks: [{name, passed, asked, detail, alarm}], document, notRecomputed}; `passed` is null where
 * something could not be checked, `alarm` what somebody has to read although the check passed, `verdict` "holds", "open"
 * (nothing failed, but something that was asked for is open) or "fails".
 *
 * `given`: certificate, proof, checkpoint (bytes or null), policy (text or null), log, evidence (folders or null: {has,
 * names, read}). `words`: the statements of each version of certificates. `told(step, done, of)` is awaited on the way.
 */
export async function verify(given, words, told = async () => {}) {
  const verification = new Verification(given, words, told);
  const checks = [];
  for (const [name, method, isAsked] of CHECKS) {
    const asked = isAsked(given);
    try {
      const detail = await verification[method]();
      checks.push({ name, passed: true, asked, detail, alarm: verification.alarms.get(name) });
    } catch (error) {
      checks.push({ name, passed: error instanceof Open ? null : false, asked, detail: error.message || String(error) });
    }
  }
  const { document, notRecomputed } = verification;
  const failed = checks.some((check) => check.passed === false);
  const open = checks.some((check) => check.passed === null && check.asked);
  return { verdict: failed ? "fails" : open ? "open" : "holds", checks, document, notRecomputed };
}
