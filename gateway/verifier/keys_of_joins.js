// Whether each join was accepted under a key of its issuer that the log says was in force then. docs/verify.md.

import { require } from "./bytes.js";
import { WINDOW_S } from "./event.js";
import { LEEWAY_S } from "./issuer_keys.js";
import { VIEWING_TOKEN } from "./journal.js";

/** What was found so far, journal by journal in the order of the log. */
export class KeysOfJoins {
  #log;
  #counts = { held: 0, byToken: 0, guests: 0, strange: 0, untimely: 0, doubtful: 0 };
  #used = new Set();
  #wrong = null;
  #doubtful = null;

  constructor(log) {
    this.#log = log;
  }

  /** Take in the journals of the next leaf. */
  take(leaf, journals) {
    const counts = this.#counts;
    for (const { sha256, texts, joins } of journals) {
      for (const [row, join] of joins.entries()) {
        if (join.kind === VIEWING_TOKEN || join.guest) {
          counts[join.kind === VIEWING_TOKEN ? "byToken" : "guests"] += 1;
          continue;
        }
        counts.held += 1;
        const at = { leaf, sha256, row, issuer: texts[join.issuer], name: texts[join.key], joinedAtMs: join.joinedAtMs };
        const key = this.#log.keys.find(at.issuer, at.name);
        if (key) this.#used.add(key);
        if (key && wasInForce(key, leaf.window, join.joinedAtMs)) {
          if (!cameAfter(leaf, key)) continue;
          counts.doubtful += 1;
          this.#doubtful ??= at;
        } else {
          counts[key ? "untimely" : "strange"] += 1;
          this.#wrong ??= at;
        }
      }
    }
  }

  /** Return {said, open}: what holds, and what nobody can say ("" if nothing); throw if a join names no key in force. */
  told() {
    const { held, byToken, guests, strange, untimely, doubtful } = this.#counts;
    require(!this.#wrong, () => `${strange + untimely} of ${held} joins and badges were taken under no key in force: `
      + `${strange} name none that their issuer ever had, ${untimely} one that was added later or retired before; `
      + `the first is ${this.#named(this.#wrong)}`);
    let said = `${held} joins and badges name ${this.#used.size} keys, each in force when it was taken`;
    if (byToken) said += `; ${byToken} joins show a viewing token, which a ticket shown before has given`;
    if (guests) said += `; ${guests} are of guests, for whom no issuer vouches`;
    const open = doubtful ? `${said}, by their own dates. But the log has the evidence of ${doubtful} of them only since their `
      + `key was retired, and nothing else says that they are older; the first is ${this.#named(this.#doubtful)}` : "";
    return { said, open };
  }

  #named({ leaf, sha256, row, issuer, name, joinedAtMs }) {
    const { event } = this.#log;
    return `join ${row + 1} of evidence ${sha256} (entry ${leaf.index}, window ${event.iso(leaf.window)}), `
      + `dated ${event.iso(Math.floor(joinedAtMs / 1000))}, under ${name ? `the key ${name} of ${issuer}` : "no key"}`;
  }
}

/** Whether a key was in force both when a join says it was accepted, and in the window in which it was handed over. */
function wasInForce({ addedAt, retiredAt }, window, joinedAtMs) {
  const [since, until] = [(addedAt ?? -Infinity) - LEEWAY_S, (retiredAt ?? Infinity) + LEEWAY_S];
  return window + WINDOW_S > since && window <= until && joinedAtMs >= since * 1000 && joinedAtMs <= until * 1000;
}

/** Whether the log has this evidence only since the key was retired, and not as a window is sealed in time. */
function cameAfter(leaf, { retiredAt, retiredIn }) {
  if (retiredAt === null || leaf.index < retiredIn) return false;
  return leaf.kind !== "window" || leaf.window + WINDOW_S + LEEWAY_S <= retiredAt;
}
