// The two paths beside each other: HyperLogLog estimates of the live path against exact counts of the same identities.

import { WINDOW_S } from "./event.js";
import { REGISTERS, estimate, raise } from "./hyperloglog.js";
import { Fraction } from "./rationals.js";
import { scopeKey } from "./rules.js";

export const LARGEST_USUAL = new Fraction(5);
export const RUNNING = 3;

/** Merges the windows' sketches of attendees as evidence is read. */
export class SketchUnions {
  #days = new Map(); // "number day" -> registers
  #windows = new Map(); // window -> session number -> registers or their estimate

  /** `late`: the windows to which late evidence adds, whose estimates must wait. */
  constructor(event, late) {
    this.event = event;
    this.late = new Set(late);
    this.known = new Set(event.sessions.map((session) => session.number));
  }

  add(window, merged) {
    const day = this.event.day(window);
    for (const [number, { attendees }] of merged) {
      if (!this.known.has(number) || !attendees.some((rank) => rank > 0)) continue;
      raise(at(this.#days, `${number} ${day}`, () => new Uint8Array(REGISTERS)), attendees);
      const here = at(this.#windows, window, () => new Map());
      if (this.late.has(window)) raise(at(here, number, () => new Uint8Array(REGISTERS)), attendees);
      else here.set(number, estimate(attendees));
    }
  }

  /** Return the estimate of one session (number) or all (null), on one day or all (null). */
  union(session, day) {
    const registers = new Uint8Array(REGISTERS);
    for (const [name, part] of this.#days) {
      const [number, date] = name.split(" ");
      if ((session === null || Number(number) === session) && (day === null || date === day)) raise(registers, part);
    }
    return estimate(registers);
  }

  ofWindow(window, session) {
    const held = this.#windows.get(window)?.get(session) ?? 0;
    return typeof held === "number" ? held : estimate(held);
  }
}

function at(map, name, make) {
  if (!map.has(name)) map.set(name, make());
  return map.get(name);
}

/** By how many standard errors, max(0.8125 % of the exact count, 1), an estimate differs. */
export function deviation(guess, exact) {
  const error = 8125 * exact > 1_000_000 ? BigInt(8125 * exact) : 1_000_000n;
  return new Fraction(BigInt(guess - exact) * 1_000_000n, error);
}

/** 1.96 standard errors to each side, rounded half to even. */
export function interval95(guess) {
  const reach = new Fraction(BigInt(guess) * 196n * 8125n, 100_000_000n).rounded(0);
  return [Math.max(0, guess - reach), guess + reach];
}

const magnitude = (fraction) => new Fraction(fraction.numerator < 0n ? -fraction.numerator : fraction.numerator, fraction.denominator);

/** Return the comparison as a certificate prints it; `numbers` are the certificate's: what it withholds of them stands nowhere. */
export function crossCheck(attendance, sketches, statement, version, numbers) {
  const { event } = attendance;
  const compared = (guess, exact, withhold) => {
    const difference = deviation(guess, exact).rounded(3);
    const hidden = withhold && exact > 0 && exact < event.suppressBelow;
    return hidden ? { estimate: null, exact: null, difference_in_standard_errors: difference, suppressed: true }
      : { estimate: guess, exact, difference_in_standard_errors: difference };
  };
  const cells = [[{}, null, null], ...event.sessions.map((session) => [{ session: session.id }, session.number, null]),
    ...[...attendance.grossDays].sort().map((day) => [{ day }, null, day])];
  const unions = cells.map(([scope, session, day]) => ({
    scope: { ...scope, channel: "online" },
    ...compared(sketches.union(session, day), attendance.gross("online", session, day).size, Object.keys(scope).length > 0) }));
  const check = { statement, rule: "unique-attendees-online", unit: "identities", unions, windows: ofWindows(attendance, sketches, compared) };
  if (version < 3) return check;
  const withheld = new Set(numbers.filter((row) => row.rule === check.rule && row.suppressed).map((row) => scopeKey("", row.scope)));
  const shown = (row, [scope]) => (!row.suppressed && withheld.has(scopeKey("", scope))
    ? { scope: row.scope, estimate: null, exact: null, difference_in_standard_errors: null, suppressed: true } : row);
  const withInterval = (row) => (row.estimate === null ? row : { ...row, interval95: interval95(row.estimate) });
  return { ...check, standard_error: 0.008125, unions: unions.map((row, place) => withInterval(shown(row, cells[place]))) };
}

function ofWindows(attendance, sketches, compared) {
  const { event } = attendance;
  const rows = [];
  for (const window of [...attendance.grossWindows].sort((a, b) => a - b)) {
    for (const { number, id } of event.sessions) {
      const exact = attendance.onlineSizes.get(window)?.get(number) ?? 0;
      const guess = sketches.ofWindow(window, number);
      if (exact || guess) rows.push({ window, number, id, guess, exact, by: magnitude(deviation(guess, exact)) });
    }
  }
  const largest = rows.reduce((one, other) => (one === null || one.by.compare(other.by) < 0 ? other : one), null);
  const over = new Set(rows.filter(({ by }) => by.compare(LARGEST_USUAL) > 0).map(({ window, number }) => `${window} ${number}`));
  const runs = ({ window, number }) => Array.from({ length: RUNNING }, (_, step) => `${window + step * WINDOW_S} ${number}`).every((name) => over.has(name));
  return {
    compared: rows.length,
    largest_deviation: largest && { window: event.iso(largest.window), session: largest.id, ...compared(largest.guess, largest.exact, true) },
    over_5_standard_errors_in_3_windows_running: rows.filter(runs).map(({ id, window }) => ({ session: id, window: event.iso(window) })),
  };
}
