// The certificate: its form, its entry in the log, and what it must say because the public log says so.

import { fromBase64, require, sameBytes } from "./bytes.js";
import { statedAudits } from "./audit_entries.js";
import { ownCorrection } from "./corrections.js";
import { decodeJson, encodeJson, hasExactly, isObject, sameJson } from "./canonical_json.js";
import { Differences } from "./differences.js";
import { WINDOW_S } from "./event.js";
import { thumbprint } from "./issuer_keys.js";
import { printed } from "./rationals.js";
import { RULES_BY_ID, isKnown, named, scopeKey, scopesOf } from "./rules.js";
import { sha256Hex } from "./sha256.js";

const MEMBERS = ["type", "version", "notice", "simulated", "event", "event_sha256", "identity", "settings", "rules",
  "numbers", "suppression", "cross_check", "gaps", "aliases", "exclusions", "witnesses", "witnesses_statement", "log",
  "software", "issued_at"];
/** What public leaves can be asked for. */
const PUBLIC_SCOPE = ["session", "day", "channel"];
/** Versions that this page reads, and the members that each adds. */
export const VERSIONS = new Map([[1, []], [2, []], [3, ["comparability", "press", "waterfall", "minutes", "apart", "curve",
  "corrections", "roll", "audits"]]]);

/** Return the members of a certificate, checked as far as everything else relies on them. */
export function readCertificate(bytes) {
  const document = decodeJson(bytes, "the certificate");
  require(isObject(document) && document.type === "certificate", "not a certificate");
  require(VERSIONS.has(document.version), "not a certificate of a version that this page knows");
  const texts = ["event_sha256", "issued_at", "software"].every((name) => typeof document[name] === "string");
  require(texts, "event_sha256, issued_at or software is not text");
  const { log } = document;
  const sound = hasExactly(log, ["origin", "vkey", "size", "root"]) && Number.isSafeInteger(log.size) && log.size >= 0;
  require(sound && [log.origin, log.vkey, log.root].every((text) => typeof text === "string"), "it does not say which log it was counted from");
  return document;
}

/** Return the bytes of the log entry of a certificate: they follow from the certificate alone. */
export const certificateEntry = (bytes, document) => encodeJson({
  type: "certificate", version: 1, event_sha256: document.event_sha256, certificate_sha256: sha256Hex(bytes),
  issued_at: document.issued_at,
});

/** Return whether the entries up to `size` have the root that a certificate names. */
export const isRootOf = (document, root) => sameBytes(fromBase64(document.log.root), root);

/** Return until when the numbers know: the end of the last window in the log. */
export const knownUntil = (log, issuedAt) => (log.ended ? log.event.iso(log.ended) : issuedAt);

const filled = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name].toLocaleString("en"));

/** Return what a certificate of a version must say whatever the evidence is; `own`: what it corrects itself, or null; `rules`: its own. */
export function statedByLog(log, words, version, own, rules) {
  const { event } = log;
  const notices = [event.simulated ? words.simulated : "", version > 2 ? interim(log, words) : "", log.restored.length ? words.restored : ""];
  const { witnesses } = event;
  const witnessed = { required: event.requiredWitnesses, named: witnesses.length };
  const stated = {
    type: "certificate",
    notice: notices.filter(Boolean).join(" ") || null,
    simulated: event.simulated,
    event: {
      id: event.id, name: event.name, organiser: event.organiser, time_zone: event.timeZone,
      sessions: event.sessions.map(({ number, id, title, startsAt, endsAt }) => (
        { number, id, title, starts_at: event.iso(startsAt), ends_at: event.iso(endsAt) })),
      late_until: event.iso(event.lateUntil),
      locked_at: log.lockedAt,
    },
    event_sha256: event.digest,
    identity: {
      issuers: event.issuers.map(({ id, operatedBy, namespace, development }) => (
        { id, operated_by: operatedBy, namespace, assurance: "ticketed", development })),
      statement: words.identity,
      guests: words.guests,
      ...log.keys.stated(words),
    },
    settings: {
      interval_s: event.intervalS,
      steering: log.steering.map((change) => ({ at: event.iso(change.at), interval_s: change.interval_s,
        revoked_seats: change.revoked.seats, revoked_views: change.revoked.views })),
      window_s: WINDOW_S, silence: words.silence, pause: words.pause, onsite: words.onsite,
    },
    rules: rulesOf(event, words, rules),
    suppression: { below: event.suppressBelow, statement: filled(words.suppression, { below: event.suppressBelow }) },
    gaps: gapsInLog(log),
    witnesses: witnesses.map(({ name, operatedBy, key }) => ({ name, operated_by: operatedBy, vkey: key.vkey })),
    witnesses_statement: filled(
      witnesses.length === 0 ? words.no_witness : witnessed.required === 0 ? words.named_witnesses : words.required_witnesses, witnessed),
    version,
  };
  return version > 2 ? withVersion3(log, words, stated, own) : stated;
}

/** Own rules are defined by the event; their words are taken as they are, and the page says so. */
function rulesOf(event, words, rules) {
  const known = words.rules.filter(({ id }) => event.rules.includes(id));
  const ids = new Set((event.document.own_rules ?? []).map(({ id }) => id));
  return [...known, ...(Array.isArray(rules) ? rules.filter((row) => isObject(row) && ids.has(row.id)) : [])];
}

const toCome = (log, windows) => windows.filter((window) => window + WINDOW_S > log.ended).length;
const schedule = (log, windows) => ({ scheduled_windows: windows.length, windows_to_come: toCome(log, windows) });

/** Return in words that the event goes on; "" if it does not. */
export function interim(log, words) {
  const { event, ended } = log;
  const left = toCome(log, event.scheduled);
  const as_of = ended ? event.iso(ended) : "before the first minute";
  return left ? filled(words.interim, { as_of, to_come: left, scheduled: event.scheduled.length }) : "";
}

/** What a certificate of version 3 says besides, or says more fully. */
function withVersion3(log, words, stated, own) {
  const { event } = log;
  const { identity, settings } = stated;
  return {
    ...stated,
    event: { ...stated.event, ...schedule(log, event.scheduled),
      sessions: stated.event.sessions.map((row, at) => ({ ...row, ...schedule(log, event.sessions[at].windows) })) },
    identity: { ...identity,
      issuers: identity.issuers.map((row, at) => {
        const { issuer, subject_claim, keys } = event.issuers[at].row;
        return { ...row, issuer, subject_claim, keys: keys.map(thumbprint) };
      }),
      identity_key: { statement: words.identity_key, pseudonym_key_sha256: log.pseudonymKeySha256 } },
    settings: { ...settings, silence_timeout: words.silence_timeout, silence_timeout_s: WINDOW_S, time_shift: words.time_shift,
      exclude_traffic: event.excludeTraffic,
      rule_set: { sha256: sha256Hex(encodeJson(stated.rules)), locked_in: event.digest, locked_at: log.lockedAt } },
    corrections: log.issued.stated(own),
    ...statedAudits(log),
  };
}

function gapsInLog(log) {
  const { event } = log;
  const found = {
    scheduled_windows_without_leaf: log.scheduledWithoutLeaf.map((window) => event.iso(window)),
    scheduled_windows_to_come: event.scheduled.filter((window) => window > log.lastWindow).length,
    windows_with_missing_workers: [...log.windows.values()].filter((leaf) => leaf.missing.length)
      .map((leaf) => ({ window: event.iso(leaf.window), missing: leaf.missing })),
    late_evidence: log.late.map((leaf) => ({ window: event.iso(leaf.window), received_at: event.iso(leaf.receivedAt),
      manifest_sha256: leaf.manifestSha256, counted: leaf.counted })),
  };
  if (log.restored.length) {
    found.log_restored_from_backup = log.restored.map((leaf) => ({
      number: leaf.number, evidence_may_be_lost_from: event.iso(leaf.since), evidence_may_be_lost_until: event.iso(leaf.at),
      log_seen_by: leaf.seen,
    }));
  }
  if (log.retired.length) {
    found.gateways_retired = log.retired.map((leaf) => ({ gateway: leaf.gateway, at: event.iso(leaf.at), workers: leaf.workers }));
  }
  return found;
}

/** Throw unless the certificate repeats what the log says; return how many members do. */
export function checkStatements(log, document, words) {
  const stated = statedByLog(log, words, document.version, ownCorrection(document), document.rules);
  for (const [name, value] of Object.entries(stated)) {
    let said = document[name];
    // Of these the log tells a part; the rest only evidence does.
    if (["event", "gaps"].includes(name) && isObject(said)) {
      said = Object.fromEntries(Object.keys(value).filter((key) => Object.hasOwn(said, key)).map((key) => [key, said[key]]));
    }
    require(sameJson(said, value), `the certificate's '${name}' is not what the log gives`);
  }
  require(hasExactly(document, [...MEMBERS, ...VERSIONS.get(document.version)]), "the certificate has a member too many, or one is missing");
  return Object.keys(stated).length;
}

/** Throw unless every number is there once, is as its rule has it, and, if it says `log`, is what the leaves give. */
export function checkPublicNumbers(log, document, publicNumbers) {
  const seen = new Set();
  const asOf = knownUntil(log, document.issued_at);
  const boundless = document.version > 1 && (log.scheduledWithoutLeaf.length > 0 || log.restored.length > 0);
  require(Array.isArray(document.numbers), "the numbers are no list");
  for (const row of document.numbers) {
    require(isObject(row) && isObject(row.scope), "a number has no scope");
    const rule = document.rules.find(({ id }) => id === row.rule); // held against the log as one of its statements
    require(rule, () => `${JSON.stringify(row.rule)} is no counting rule of this certificate`);
    const unit = row.scope.assurance === "guest" && row.unit === "devices" ? "devices" : rule.unit;
    const kind = isKnown(row) ? "exact" : row.kind;
    const sound = row.rule_version === rule.version && row.unit === unit && row.kind === kind && row.as_of === asOf
      && ["log", "evidence"].includes(row.checkable_by);
    require(sound, `${named(row)}: version, unit, kind, as_of or checkable_by are not the rule's`);
    const wrong = misshapen(row);
    require(!wrong, () => `${named(row)}: ${wrong}`);
    require(areBounds(row, boundless, document.version), `${named(row)}: its bounds are none, or not those of an event with such gaps`);
    const key = scopeKey(row.rule, row.scope);
    require(!seen.has(key), `${named(row)}: it is there twice`);
    seen.add(key);
  }
  const days = [...new Set(log.event.scheduled.map((window) => log.event.day(window)))].sort();
  for (const id of log.event.rules) {
    const rule = RULES_BY_ID.get(id);
    for (const scope of rule ? scopesOf(log.event, rule, days, []) : []) {
      require(seen.has(scopeKey(id, scope)), `${named({ rule: id, scope })}: the number is left out`);
    }
  }
  return { count: seen.size, ...holdAgainstLeaves(log, document, publicNumbers) };
}

function holdAgainstLeaves(log, document, publicNumbers) {
  const differences = new Differences(log, document);
  let byLog = 0;
  const otherwise = [];
  const unbounded = [];
  for (const row of document.numbers) {
    if (!RULES_BY_ID.has(row.rule)) continue; // this page does not recompute it, and says so
    if (Object.keys(row.scope).some((name) => !PUBLIC_SCOPE.includes(name))) {
      require(row.checkable_by !== "log", `${named(row)}: no public leaf speaks of it`);
      continue;
    }
    const { session } = row.scope;
    require(session === undefined || log.event.session(session), `the event has no session ${session}`);
    const measure = publicNumbers.measure(row.rule, row.scope);
    if (row.value === null) {
      differences.checkWithheld(row, RULES_BY_ID.get(row.rule), measure);
      continue;
    }
    const at = measure === null || measure.at === null ? undefined : log.event.iso(measure.at);
    const same = measure !== null && printed(measure.value) === row.value && at === row.at;
    require(same === (row.checkable_by === "log"), () => `${named(row)}: the certificate says ${row.value} and checkable_by `
      + `${row.checkable_by}, the leaves ${measure === null ? "nothing" : printed(measure.value)}`);
    if (same) byLog += 1;
    if (same || measure === null) continue;
    const why = differences.why(row, measure);
    const said = `${named(row)} ${row.value}, in the leaves ${printed(measure.value)}`;
    require(why !== null, `${said}: nothing in the log explains it, neither late evidence nor several seats nor an exclusion`);
    otherwise.push(`${said} (${why})`);
    if (differences.nothingBounds(row, measure)) unbounded.push(named(row));
  }
  return { byLog, otherwise, unbounded };
}

const SCOPES = ["session", "day", "country", "category", "outlet", "assurance", "channel"];
const OF_A_NUMBER = ["rule", "rule_version", "scope", "unit", "kind", "checkable_by", "as_of", "value"];
const OF_A_COUNTED_NUMBER = [...OF_A_NUMBER, "at", "standard_error", "interval95", "bounds", "bounds_with_gaps"];

/** Return what is wrong with the form of a number's row; "" if nothing is. */
function misshapen(row) {
  const scopes = Object.entries(row.scope).every(([name, text]) => SCOPES.includes(name) && typeof text === "string");
  if (!scopes) return "there is no such scope";
  if (Object.hasOwn(row, "suppressed")) {
    const silent = row.suppressed === true && row.value === null && hasExactly(row, [...OF_A_NUMBER, "suppressed"]);
    return silent ? "" : "it is withheld, and says something all the same";
  }
  const members = OF_A_NUMBER.every((name) => Object.hasOwn(row, name)) && Object.keys(row).every((name) => OF_A_COUNTED_NUMBER.includes(name));
  if (!members) return "it has members that no number has, or lacks one";
  if (row.value !== null && !(isNumber(row.value) && row.value >= 0)) return "its value is no number";
  const pairs = ["bounds", "bounds_with_gaps", "interval95"].filter((name) => Object.hasOwn(row, name)).map((name) => row[name]);
  const bounded = (row.value !== null || Object.hasOwn(row, "bounds")) && pairs.every((pair) => Array.isArray(pair) && pair.length === 2
    && isNumber(pair[0]) && (pair[1] === null || isNumber(pair[1])));
  if (!bounded) return "its bounds are no numbers";
  const { at = "", standard_error = 0, kind } = row;
  return typeof at === "string" && isNumber(standard_error) && ["exact", "estimate"].includes(kind) ? "" : "its kind, time or error is none";
}

const isNumber = (value) => typeof value === "number";

/** Return whether a number's bounds hold what was counted, as those of a certificate of a version must. */
function areBounds(row, boundless, version) {
  const suppressed = Object.hasOwn(row, "suppressed");
  const single = suppressed || row.value !== null;
  if (single && Object.hasOwn(row, "bounds_with_gaps")) return false;
  const counted = single ? [row.value, row.value] : row.bounds;
  const between = single ? row.bounds : row.bounds_with_gaps;
  if (between === undefined || suppressed) return between === undefined && (suppressed || !boundless);
  const pairs = [counted, between].every((pair) => Array.isArray(pair) && pair.length === 2);
  if (!pairs || version === 1 || sameJson(between, counted)) return false;
  const [lower, upper] = between;
  if (![lower, upper ?? 0, ...counted].every((number) => typeof number === "number")) return false;
  return lower <= counted[0] && (upper === null || (upper >= counted[1] && !boundless));
}
