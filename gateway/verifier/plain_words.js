// Each check in plain words: what it asks, and what it means if it holds.

export const CHECKS_IN_WORDS = {
  "canonical form": ["Is the file a certificate, in its one spelling?",
    "Every value has exactly one way to be written (RFC 8785), so the file's digest names its content."],
  "trusted key": ["Is it signed by the key that you trust?",
    "A trust policy, from a source other than the organiser, says which log key is the right one. Without it, the key is the one that the certificate itself names."],
  "proof of inclusion": ["Does it stand in the log?",
    "The log's key has signed a state of the log, and hashes lead from this certificate to that signature. Another number would be another certificate, and would not be in the log."],
  "whole log": ["Is the log whole, and only ever continued?",
    "Every entry and every hash of the log is recomputed; the states that certificate and proof speak of are its beginning."],
  "event and windows": ["Were the rules fixed before the doors opened?",
    "Entry 0 of the log is the event with its counting rules; each minute follows once, in order."],
  "issuer keys": ["Did issuers get other keys later?",
    "An issuer vouches for attendees with its keys. Entry 0 locks them; an organiser who adds one later can vouch for anybody, and the log says so."],
  "not superseded": ["Does it still stand?",
    "A certificate that turned out wrong is superseded by an entry of the log and never edited. A newer copy of the log knows more."],
  witnesses: ["Have outsiders seen this log grow?",
    "Witnesses cosign a state only if it continues everything they saw before. Whose signatures are enough is for the trust policy to say."],
  "witness delay": ["How soon was each minute cosigned?",
    "From its cosignature on a minute can no longer have been changed, not even by whoever runs the log."],
  "no contradiction": ["Is it the same log that was seen elsewhere?",
    "A signed state of the log that somebody saved at another time or place must be a beginning of this one. If it is not, the log showed two histories."],
  "public statements": ["Does the certificate repeat what the log says?",
    "Event, sessions, issuers, rules with their definitions, settings, and the gaps that everybody can see."],
  "public numbers": ["Do the public numbers follow from the log?",
    "Views, the online peak, average audience and hours are recomputed from the public minutes; no number is missing or there twice."],
  members: ["Do its tables and its curve tell the same story?",
    "Waterfall, minutes attended and the audience curve must agree with the numbers, and with the public minutes."],
  evidence: ["Is the evidence what the log says it is?",
    "Every file has the digest that the log committed to, minute by minute, and every minute's entry is rebuilt from its files."],
  "all numbers": ["Do all numbers follow from the evidence?",
    "Who was present when, from bitmaps and journals: people once, by session, day, channel and country; peaks; time."],
  "roll and cross-check": ["Do the two ways of counting agree?",
    "Second seats, exclusions and gaps are recomputed, and the live estimates (HyperLogLog) from their registers, beside the exact counts."],
};

/** What rules are called on a card. */
export const RULES_IN_WORDS = {
  "unique-attendees": "Attendees",
  "unique-attendees-online": "Attendees online",
  "unique-attendees-onsite": "Attendees on site",
  "unique-attendees-both": "Both online and on site",
  "peak-concurrent-attendees": "Most at the same time",
  "average-minute-audience": "Average audience",
  "hours-viewed": "Hours viewed",
  views: "Views",
  "daily-attendance-sum": "Daily attendances, added",
  "session-attendance-sum": "Session attendances, added",
};

export const HEADLINES = ["unique-attendees", "unique-attendees-online", "unique-attendees-onsite", "unique-attendees-both",
  "peak-concurrent-attendees", "average-minute-audience", "hours-viewed", "views"];
