// The counting rules that this page counts by: over which scopes each is printed, and in which unit.

const EACH_CHANNEL = [null, "online", "onsite"];

const rule = (id, unit, more = {}) => ({ id, version: 1, unit, channels: [null], bySession: true, byDay: true, ofPeople: true, ...more });

/** In the order in which a certificate prints them. */
export const RULES = [
  rule("unique-attendees", "people"),
  rule("unique-attendees-onsite", "people"),
  rule("unique-attendees-online", "people"),
  rule("unique-attendees-both", "people"),
  rule("daily-attendance-sum", "person-days", { channels: EACH_CHANNEL, byDay: false }),
  rule("session-attendance-sum", "person-sessions", { channels: EACH_CHANNEL, bySession: false }),
  rule("views", "views", { ofPeople: false }),
  rule("peak-concurrent-attendees", "people", { channels: EACH_CHANNEL }),
  rule("average-minute-audience", "people", { channels: ["online"] }),
  rule("hours-viewed", "hours", { channels: ["online"] }),
];

export const RULES_BY_ID = new Map(RULES.map((one) => [one.id, one]));

/** Rules of person-time. */
export const OF_TIME = ["average-minute-audience", "hours-viewed"];

/** A cell of one of these can be so small that it is withheld. */
export const SMALL_SCOPES = ["session", "day", "country", "category", "outlet", "assurance"];

/** Scopes of numbers that this page recomputes. */
const KNOWN_SCOPES = ["session", "day", "country", "channel"];

/** Return whether this page recomputes a number: by a rule, and over a scope, that it knows. */
export const isKnown = ({ rule, scope }) => RULES_BY_ID.has(rule) && Object.keys(scope).every((name) => KNOWN_SCOPES.includes(name));

/** Return the scopes over which a rule is printed: the event, then by session, day and country. */
export function scopesOf(event, one, days, countries) {
  const bases = [{}];
  if (one.bySession) bases.push(...event.sessions.map((session) => ({ session: session.id })));
  if (one.byDay) bases.push(...days.map((day) => ({ day })));
  bases.push(...countries.map((country) => ({ country })));
  return bases.flatMap((base) => one.channels.map((channel) => (channel === null ? base : { ...base, channel })));
}

/** Return one text for a rule's scope, whatever the order of its members. */
export const scopeKey = (id, scope) => [id, ...Object.keys(scope).sort().flatMap((name) => [name, scope[name]])].join("\u0000");

/** Return a number's name for the report: "views (session opening)". */
export function named(row) {
  const scope = Object.entries(row.scope).map(([name, value]) => `${name} ${value}`).join(", ");
  return `${row.rule} (${scope || "whole event"})`;
}
