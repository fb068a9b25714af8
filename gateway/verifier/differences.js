// Why a certificate may print another number than the public leaves give, as far as the log shows it. docs/formats.md.

import { require } from "./bytes.js";
import { WINDOW_S } from "./event.js";
import { PublicNumbers } from "./public_numbers.js";
import { printed } from "./rationals.js";
import { OF_TIME, SMALL_SCOPES, named } from "./rules.js";

export class Differences {
  #log;
  #late;
  #aliases;
  #ceiling;
  #public;

  constructor(log, document) {
    this.#log = log;
    this.#aliases = document.aliases.count;
    this.#late = new Set(log.late.filter((leaf) => leaf.counted).map((leaf) => leaf.window));
    this.#public = new PublicNumbers(log);
    // A second seat's arrival is none: at most it is as if nobody had arrived at all.
    this.#ceiling = new PublicNumbers(log, { arrivals: false });
  }

  /** Return the reason for a number that is not what the leaves give, or null if there can be none. */
  why({ rule, scope, value }, measure) {
    const { event } = this.#log;
    if (this.#cameLate(rule, scope)) return "late evidence";
    const leaves = printed(measure.value);
    if (event.excludeCategories.length && (value < leaves || this.#mayBeMore(rule, scope, value))) {
      return "an excluded category became known later, or of another seat";
    }
    if (event.excludeTraffic.length && value < leaves) return "invalid traffic that the event excludes";
    if (OF_TIME.includes(rule)) return this.#whyOfTime(rule, scope, leaves, value);
    if (rule === "views") return value < leaves ? "a view that two journals hold" : null;
    // The peak: each seat that is another's is one person fewer at most, and never one more.
    return this.#aliases > 0 && leaves - this.#aliases <= value && value <= leaves ? "several seats of one attendee" : null;
  }

  /** Whether leaves can have left out so many whom the certificate counts: only at seats that are another's. */
  #mayBeMore(rule, scope, value) {
    if (!this.#aliases) return false;
    if (rule === "views") return value <= (this.#public.mostViews(scope) ?? Infinity);
    return value <= printed(this.#public.most(rule, scope, this.#aliases));
  }

  /** Whether the log lets pass a number that is more than the leaves say, whatever it is. */
  nothingBounds({ rule, scope, value }, measure) {
    return this.#cameLate(rule, scope) || (rule === "views" && value > printed(measure.value) && this.#public.mostViews(scope) === null);
  }

  #whyOfTime(rule, scope, leaves, value) {
    const ceiling = this.#ceiling.measure(rule, scope);
    if (this.#aliases > 0 && ceiling !== null && value <= printed(ceiling.value)) return "several seats of one attendee";
    return this.#log.steering.length > 0 && value < leaves ? "a journal of a longer heartbeat interval" : null;
  }

  /** The windows for which evidence came late, and counts. */
  get late() {
    return this.#late;
  }

  get aliases() {
    return this.#aliases;
  }

  /** Return between what and what a count can be of which a window's leaf has so many (null: withheld); no upper limit is Infinity. */
  between(window, counted) {
    const { event } = this.#log;
    if (this.#late.has(window)) return [0, Infinity];
    const excludes = event.excludeCategories.length > 0;
    const [fewest, known] = counted === null ? [0, event.suppressBelow - 1] : [counted, counted];
    return [excludes || event.excludeTraffic.length ? 0 : Math.max(fewest - this.#aliases, 0), known + (excludes ? this.#aliases : 0)];
  }

  /** Throw unless a number that is not printed may be withheld; `measure` is what the leaves give, or null. */
  checkWithheld(row, rule, measure) {
    require(row.checkable_by !== "log", `${named(row)}: no public leaf speaks of it`);
    if (!Object.hasOwn(row, "suppressed")) {
      const several = new Set(this.#log.event.issuers.map(({ namespace }) => namespace)).size > 1;
      require(several && rule.ofPeople, `${named(row)}: nobody is counted in two namespaces, and yet it is an interval`);
      return;
    }
    const { excludeCategories, excludeTraffic } = this.#log.event;
    const gates = this.#log.event.sessions.some((session) => session.gates.length > 0);
    // How few were on site in the minute of the event's peak, only the evidence shows.
    if (row.rule === "peak-concurrent-attendees" && !Object.keys(row.scope).length && gates && this.#log.event.suppressBelow > 1) return;
    // Of views nobody knows how many two journals hold; what leaves tell of them, nobody can withhold anyway.
    const uncertain = excludeCategories.length || excludeTraffic.length || [...OF_TIME, "views"].includes(row.rule) || this.#cameLate(row.rule, row.scope);
    const least = measure === null || uncertain ? 1 : Math.max(measure.value - this.#aliases, 1);
    const small = SMALL_SCOPES.some((name) => name in row.scope) && least < this.#log.event.suppressBelow;
    require(small, `${named(row)}: it is withheld, and is none of the small cells that may be`);
  }

  /** Whether evidence that came late may be of this scope: of a session, nobody but the evidence says. */
  #cameLate(rule, { session, day }) {
    const { event } = this.#log;
    if (!OF_TIME.includes(rule)) return [...this.#late].some((window) => day === undefined || event.day(window) === day);
    const number = session === undefined ? null : event.session(session).number;
    // Somebody who was there a minute before has not arrived.
    return event.scheduledOf(number, day ?? null).some((window) => this.#late.has(window) || this.#late.has(window - WINDOW_S));
  }
}
