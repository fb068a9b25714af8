// Corrections: a certificate that turned out wrong is superseded by a later one, and never edited. docs/formats.md.

import { isCount, isDigest, require } from "./bytes.js";
import { decodeJson, hasExactly, isObject, sameJson } from "./canonical_json.js";
import { sha256Hex } from "./sha256.js";

const REASON_LIMIT_CHARS = 500;
const NEEDS_REASON = "a correction needs its reason: one line of text that says what was wrong";
const MARKS = ['"type":"certificate"', '"type":"correction"'].map((text) => [...text].map((letter) => letter.charCodeAt(0)));

/** Whether this is one line of text, as reasons in the log are. */
export function isReason(text) {
  const line = typeof text === "string" && text.trim() === text && text !== "" && !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text);
  return line && [...text].length <= REASON_LIMIT_CHARS;
}

/** Takes in certificates and corrections in the order of a log. `certificates`: digest → entry. */
export class Issued {
  certificates = new Map();
  corrections = [];

  addCertificate(index, { certificate_sha256: sha256 }) {
    require(isDigest(sha256), "a certificate's entry holds no digest");
    this.certificates.set(sha256, index);
  }

  addCorrection(index, { supersedes, certificate, reason }) {
    require(isDigest(supersedes) && isDigest(certificate), "it does not name two certificates by their digests");
    require(isReason(reason), NEEDS_REASON);
    require(this.certificates.get(certificate) === index - 1, "the certificate that it speaks of is not the entry before it");
    require(this.certificates.has(supersedes) && supersedes !== certificate, "it supersedes a certificate that is not in the log before it");
    require(!this.corrections.some((one) => one.supersedes === supersedes), "it supersedes a certificate that is superseded already");
    this.corrections.push({ index, supersedes, certificate, reason });
  }

  /** Return the member `corrections` of a certificate over this log; `own` is what it corrects itself, or null. */
  stated(own) {
    const row = ({ supersedes, certificate, reason }) => ({ entry: this.certificates.get(supersedes), supersedes, by: certificate, reason });
    const rows = this.corrections.map(row);
    if (own === null) return rows;
    const known = this.certificates.get(own.supersedes) === own.entry && !this.corrections.some((one) => one.supersedes === own.supersedes);
    require(known, "it corrects a certificate that is not in the log, or superseded already");
    return [...rows, own];
  }
}

/** Return what a certificate itself corrects ({entry, supersedes, by: null, reason}), or null. */
export function ownCorrection({ corrections = [] }) {
  require(Array.isArray(corrections) && corrections.every(isObject), "its corrections are no list");
  const own = corrections.filter((row) => (row.by ?? null) === null);
  if (!own.length) return null;
  require(own[0] === corrections.at(-1) && hasExactly(own[0], ["entry", "supersedes", "by", "reason"]), "its own correction is not the last one");
  require(isCount(own[0].entry) && isDigest(own[0].supersedes), "it does not say which certificate it supersedes");
  require(isReason(own[0].reason), NEEDS_REASON);
  return own[0];
}

/** Return what the whole log says of certificates; entries of other types, also unknown ones, are passed over. */
export function issuedIn(entries) {
  const issued = new Issued();
  entries.forEach((raw, index) => {
    if (!MARKS.some((mark) => contains(raw, mark))) return;
    const entry = decodeJson(raw, `entry ${index}`);
    if (entry.type === "certificate") issued.addCertificate(index, entry);
    else if (entry.type === "correction") issued.addCorrection(index, entry);
  });
  return issued;
}

function contains(bytes, mark) {
  for (let at = bytes.indexOf(mark[0]); at >= 0; at = bytes.indexOf(mark[0], at + 1)) {
    if (mark.every((byte, offset) => bytes[at + offset] === byte)) return true;
  }
  return false;
}

/**
 * Return what is known, and whether all is: `newest` says whether the copy of the log is as new as the certificate's proof.
 * Throw if a correction supersedes the certificate, or if it claims to be one of which the log knows nothing.
 */
export function checkStands(certificate, document, entries, newest) {
  const sha256 = sha256Hex(certificate);
  const issued = issuedIn(entries);
  const by = issued.corrections.find((one) => one.supersedes === sha256);
  require(!by, () => `superseded by entry ${by.index}: ${by.reason} (certificate ${by.certificate})`);
  const own = ownCorrection(document);
  const said = `nothing in this log of ${entries.length} entries supersedes it`;
  if (own === null) return { said, known: true };
  if (!newest) return { said: `${said}; that it supersedes certificate ${own.entry} itself, only a newer copy can show`, known: false };
  const made = issued.corrections.find((one) => one.certificate === sha256);
  const same = made && sameJson([made.supersedes, made.reason], [own.supersedes, own.reason]);
  require(same, `it says that it supersedes certificate ${own.entry}, and the log does not say so`);
  return { said: `${said}; it supersedes certificate ${own.entry}: ${own.reason}`, known: true };
}
