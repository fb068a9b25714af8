// What a certificate prints beside its numbers, held against them, each other and the log. docs/formats.md#beside-the-numbers.

import { checkApart } from "./apart.js";
import { checkCurve } from "./curve.js";
import { checkDeviations } from "./deviations.js";
import { checkGapRows } from "./gap_rows.js";
import { checkMinutes } from "./minutes.js";
import { Told } from "./told.js";
import { checkWaterfall } from "./waterfall.js";

/** What stands beside the numbers and only the evidence shows. */
const NOT_SHOWN = "how many people each reason and category takes out, how many joins are flagged, how people divide by minutes, in "
  + "schedule and outside, in the foreground and the background, who was on site in which minute, the aliases, the estimates of unions, "
  + "what each gap may hide";

/** Throw unless everything beside the numbers agrees with them and with the leaves, as far as these tell it. */
export function checkMembers(log, document, words) {
  const told = new Told(log, document, words);
  for (const check of [checkWaterfall, checkApart, checkCurve, checkMinutes, checkDeviations, checkGapRows]) check(told);
  return `waterfall, minutes attended and a curve of ${document.curve.windows.length} windows tell one story. Only the evidence shows ${NOT_SHOWN}`;
}
