// Issuers' keys that came or went while the event ran: every change is an entry of the log. docs/formats.md#leaves.

import { base64Of, require, textOf } from "./bytes.js";
import { encodeJson, isObject, sameJson } from "./canonical_json.js";
import { isReason } from "./corrections.js";
import { WINDOW_S } from "./event.js";
import { sha256 } from "./sha256.js";

/** Members of a public JWK that its thumbprint (RFC 7638) is of. */
const KEY_MEMBERS = { EC: ["crv", "kty", "x", "y"], OKP: ["crv", "kty", "x"], RSA: ["e", "kty", "n"] };
/** The members that a key may have in the log: none of them is secret. */
const PUBLIC_MEMBERS = ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"];
const KID_LIMIT_CHARS = 255;
const CHANGES_LIMIT = 100;
/** How long before it was added, or after it was retired, a key may have signed a ticket that is taken. */
export const LEEWAY_S = 60;
const MARK = '"type":"issuer-key"';
const TYPES = { ES256: ["EC", "P-256"], Ed25519: ["OKP", "Ed25519"], RS256: ["RSA", undefined] };

export function thumbprint(jwk) {
  const members = Object.fromEntries((KEY_MEMBERS[jwk.kty] ?? []).map((name) => [name, jwk[name]]));
  return base64Of(sha256(encodeJson(members))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The keys of issuers as the entries read so far leave them. */
export class IssuerKeys {
  changes = [];
  #keys;

  constructor(event) {
    this.event = event;
    this.#keys = new Map(event.issuers.map(({ id, row }) => [id, row.keys.map((jwk) => (
      { kid: jwk.kid ?? thumbprint(jwk), thumbprint: thumbprint(jwk), addedAt: null, retiredAt: null, retiredIn: null }))]));
  }

  /** Take in an entry; `lastWindow` is the last window that has a leaf before it. */
  take(index, entry, lastWindow) {
    const { event } = this;
    const at = event.time(entry.at);
    const keys = this.#keys.get(entry.issuer);
    require(entry.number === this.changes.length + 1, `it is change ${entry.number} of issuers' keys, after ${this.changes.length}`);
    require(at >= lastWindow + WINDOW_S && at >= (this.changes.at(-1)?.at ?? at), "it is dated before the end of the window, or the change of keys, before it");
    require(isReason(entry.reason), "it needs its reason: one line of text");
    require(keys, () => `there is no issuer ${JSON.stringify(entry.issuer)}`);
    const known = keys.find((key) => key.thumbprint === entry.thumbprint);
    if (entry.action === "add") {
      const { algorithms } = event.issuers.find(({ id }) => id === entry.issuer).row;
      require(isPublicKey(entry.jwk, algorithms) && thumbprint(entry.jwk) === entry.thumbprint, "it adds what is no public key of this thumbprint");
      const kid = entry.jwk.kid ?? entry.thumbprint;
      require(!known && keys.every((key) => key.kid !== kid), "it adds a key, or another of a name, that there was before");
      require(this.changes.length < CHANGES_LIMIT, `there were ${CHANGES_LIMIT} changes of keys, and there is room for no more keys`);
      keys.push({ kid, thumbprint: entry.thumbprint, addedAt: at, retiredAt: null, retiredIn: null });
    } else {
      require(entry.action === "retire" && entry.jwk === null, "it neither adds a key nor retires one");
      require(known && known.retiredAt === null, "it retires what is no key in force");
      Object.assign(known, { retiredAt: at, retiredIn: index });
    }
    const { issuer, action, reason } = entry;
    this.changes.push({ index, at, issuer, action, thumbprint: entry.thumbprint, reason });
  }

  /** Return the key of an issuer that has this thumbprint; its times are unix seconds, null if it never came or went. */
  find(issuer, name) {
    return this.#keys.get(issuer)?.find((key) => key.thumbprint === name);
  }

  /** Return what a certificate says of the changes, beside what it says of identity; nothing if there are none. */
  stated(words) {
    if (!this.changes.length) return {};
    const key_changes = this.changes.map(({ index, at, issuer, action, thumbprint: name, reason }) => (
      { entry: index, at: this.event.iso(at), issuer, action, thumbprint: name, reason }));
    return { key_changes, key_changes_statement: this.inWords(words) };
  }

  /** Return in words what it means that keys were added and retired; "" if none were. */
  inWords(words) {
    const begun = this.event.sessions.reduce((first, { startsAt }) => Math.min(first, startsAt), Infinity);
    const added = this.changes.filter(({ action }) => action === "add");
    const counts = { added: added.length, begun: added.filter(({ at }) => at >= begun).length, retired: this.changes.length - added.length };
    const filled = (text) => text.replace(/\{(\w+)\}/g, (_, name) => counts[name].toLocaleString("en"));
    return [counts.added ? filled(words.keys_added) : "", counts.retired ? filled(words.keys_retired) : ""].filter(Boolean).join(" ");
  }

  /** Return {said, alarm} for the report: whose word the people in the certificate rest on; `later`: changes since. */
  told(words, later) {
    const first = this.event.issuers.reduce((sum, { row }) => sum + row.keys.length, 0);
    if (!this.changes.length && !later.length) return { said: `${first}, all locked by entry 0; none came or went`, alarm: null };
    const rows = (changes) => changes.map(({ index, at, issuer, action, thumbprint: name, reason }) => (
      `entry ${index}, ${this.event.iso(at)}: ${action === "add" ? "added" : "retired"} ${name} of ${issuer} (${reason})`));
    const said = this.changes.length ? [this.inWords(words), ...rows(this.changes)] : ["all locked by entry 0"];
    if (later.length) said.push("SINCE THE ENTRIES THAT THE CERTIFICATE COUNTS", ...rows(later));
    const added = this.changes.some(({ action }) => action === "add");
    return { said: said.join("; "), alarm: added ? "keys were added later" : "keys were retired" };
  }
}

/** Whether one of these entries is a change of keys; canonical JSON spells it so. */
export const holdChanges = (entries) => entries.some((raw) => textOf(raw, "an entry").includes(MARK));

/** Whether this is a key as the log holds them; that its numbers make a key, only the command line checks. */
function isPublicKey(jwk, algorithms) {
  if (!isObject(jwk) || !Object.keys(jwk).every((name) => PUBLIC_MEMBERS.includes(name))) return false;
  if (!Object.values(jwk).every((value) => typeof value === "string") || (jwk.use ?? "sig") !== "sig") return false;
  if (jwk.kid !== undefined && !isKid(jwk.kid)) return false;
  const algorithm = Object.keys(TYPES).find((name) => sameJson([jwk.kty, jwk.crv ?? null], [TYPES[name][0], TYPES[name][1] ?? null]));
  return algorithms.includes(algorithm) && (jwk.alg ?? algorithm) === algorithm && KEY_MEMBERS[jwk.kty].every((name) => Object.hasOwn(jwk, name));
}

function isKid(text) {
  return text !== "" && [...text].length <= KID_LIMIT_CHARS && !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text);
}
