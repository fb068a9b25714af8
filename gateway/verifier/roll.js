// The roll: from the journals to one canonical seat for each attendee, and what counting needs to know of them.

import { VIEWING_TOKEN } from "./journal.js";
import { Seats } from "./seats.js";
import { sha256Hex } from "./sha256.js";

export const UNKNOWN = "unknown";

/** Why a join may be no audience, by the bit of its `filters`, in the order in which reasons count. */
export const TRAFFIC = [
  { id: "datacentre", bit: 1, kind: "GIVT" }, { id: "declared-bot", bit: 2, kind: "GIVT" },
  { id: "impossible-rate", bit: 4, kind: "SIVT" }, { id: "crowded-address", bit: 8, kind: "SIVT" },
];

/** Return the reason for which an event takes out a join with these filters, or null. */
export function reasonOf(event, filters) {
  const reason = TRAFFIC.find(({ id, bit }) => (filters & bit) !== 0 && event.excludeTraffic.includes(id));
  return reason?.id ?? null;
}

const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** The same text has the same number in all journals; the empty one is 0. Numbers only make ties the same everywhere. */
class Texts {
  #numbers = new Map([["", 0]]);

  number(text) {
    if (!this.#numbers.has(text)) this.#numbers.set(text, this.#numbers.size);
    return this.#numbers.get(text);
  }
}

/** Who is who. Sets hold canonical seats, but for `identified`. */
export class Roll {
  #canonical = new Map(); // alias -> canonical seat

  constructor(event, journals) {
    const { attendees, seats, contradictory } = attendeesOf(journals);
    this.contradictorySeats = contradictory;
    this.identified = Seats.of(seats.keys());
    for (const [seat, attendee] of [...seats].sort((a, b) => a[0] - b[0])) {
      if (attendee.seat !== seat) this.#canonical.set(seat, attendee.seat);
    }
    this.aliases = Seats.of(this.#canonical.keys());
    this.excluded = new Seats();
    this.guests = new Seats();
    this.invalid = new Map(); // reason -> whom it takes out
    this.countries = new Map();
    this.namespaces = new Map();
    const barred = new Set(event.excludeCategories);
    const namespaceOf = new Map(event.issuers.map(({ id, namespace }) => [id, namespace]));
    this.categories = new Map();
    for (const { seat, guest, country, category, issuer } of attendees) {
      put(this.categories, category || UNKNOWN, seat);
      if (barred.has(category)) this.excluded.add(seat);
      if (guest) this.guests.add(seat);
      put(this.countries, country || UNKNOWN, seat);
      put(this.namespaces, namespaceOf.get(issuer) ?? "", seat);
    }
  }

  /** Take out whom invalid traffic takes out; the journals are those of which the roll was made. */
  withoutInvalid(event, journals) {
    const reasons = TRAFFIC.filter(({ id }) => event.excludeTraffic.includes(id));
    if (!reasons.length) return this;
    const [sound, under] = [new Seats(), new Map(reasons.map(({ id }) => [id, new Seats()]))];
    for (const { joins } of journals) {
      for (const { seat, filters } of joins) {
        const reason = reasonOf(event, filters);
        if (reason === null) sound.add(seat);
        else under.get(reason).add(seat);
      }
    }
    const gone = this.canonical(sound).copy();
    for (const [reason, seats] of under) {
      const out = this.canonical(seats).minus(gone);
      gone.absorb(out);
      this.excluded.absorb(out);
      if (!out.empty) this.invalid.set(reason, out);
    }
    return this;
  }

  get aliasCount() {
    return this.#canonical.size;
  }

  /** Return the digest of the table of aliases: u32 alias, u32 canonical seat, little-endian, ascending by alias. */
  aliasesSha256() {
    const table = new DataView(new ArrayBuffer(8 * this.#canonical.size));
    let at = 0;
    for (const [alias, seat] of this.#canonical) {
      table.setUint32(at, alias, true);
      table.setUint32(at + 4, seat, true);
      at += 8;
    }
    return sha256Hex(new Uint8Array(table.buffer));
  }

  canonicalSeat(seat) {
    return this.#canonical.get(seat) ?? seat;
  }

  /** Return the attendees in these seats; the set itself if none is an alias. */
  canonical(seats) {
    const hits = seats.and(this.aliases);
    if (hits.empty) return seats;
    const attendees = seats.minus(hits);
    for (const seat of hits) attendees.add(this.canonicalSeat(seat));
    return attendees;
  }

  /** Return the attendees without those excluded and without guests: what numbers of people count. */
  people(attendees) {
    return attendees.minus(this.excluded).remove(this.guests).removeGuests();
  }
}

function put(sets, name, seat) {
  if (!sets.has(name)) sets.set(name, new Seats());
  sets.get(name).add(seat);
}

function attendeesOf(journals) {
  const texts = new Texts();
  const rows = [];
  for (const journal of journals) {
    const numbers = journal.texts.map((text) => texts.number(text));
    for (const join of journal.joins) {
      if (join.kind === VIEWING_TOKEN || (join.pseudonymHigh | join.pseudonymLow) === 0n) continue;
      rows.push({ join, journal, category: numbers[join.category] });
    }
  }
  rows.sort(({ join: a, category: first }, { join: b, category: second }) =>
    a.joinedAtMs - b.joinedAtMs || a.seat - b.seat || order(a.pseudonymHigh, b.pseudonymHigh) || order(a.pseudonymLow, b.pseudonymLow) || first - second);
  const owner = new Map(); // seat -> pseudonym of its earliest join
  const byPseudonym = new Map(); // pseudonym -> attendee, as its earliest join has it
  const contradictory = new Set();
  for (const { join, journal } of rows) {
    const pseudonym = (join.pseudonymHigh << 64n) | join.pseudonymLow;
    if (!owner.has(join.seat)) owner.set(join.seat, pseudonym);
    if (owner.get(join.seat) !== pseudonym) {
      contradictory.add(join.seat);
      continue;
    }
    if (byPseudonym.has(pseudonym)) continue;
    const text = (position) => journal.texts[position];
    byPseudonym.set(pseudonym, { seat: join.seat, guest: join.guest, country: text(join.country), category: text(join.category), issuer: text(join.issuer) });
  }
  const seats = new Map([...owner].map(([seat, pseudonym]) => [seat, byPseudonym.get(pseudonym)]));
  return { attendees: [...byPseudonym.values()], seats, contradictory: contradictory.size };
}
