// The page: takes what is dropped, has it verified in a worker, and shows the report. The worker runs this same script.

import { nothingGiven, openGiven, proofOf, withFiles } from "./given.js";
import { element, reportView } from "./report_view.js";
import { verify } from "./verify.js";
import { WORDS } from "./words.js";

const TELL_EVERY_MS = 100;

/** In the worker: verify what is sent, and send back progress and the report. */
function work() {
  self.onmessage = async ({ data }) => {
    try {
      self.postMessage({ report: await verifyGiven(data, (progress) => self.postMessage({ progress })) });
    } catch (error) {
      self.postMessage({ error: String(error?.message ?? error) });
    }
  };
}

async function verifyGiven(given, tell) {
  let told = 0;
  return verify(await openGiven(given), WORDS, async (step, done, of) => {
    if (Date.now() - told < TELL_EVERY_MS) return;
    told = Date.now();
    tell({ step, done, of });
    // Without a worker, let the page draw.
    if (typeof document !== "undefined") await new Promise((resolve) => setTimeout(resolve));
  });
}

/** Have it verified beside the page; on the page itself where a browser lets no worker start. */
function verifyBeside(given, tell) {
  let worker;
  try {
    const script = new Blob([document.getElementById("script").textContent], { type: "text/javascript" });
    worker = new Worker(URL.createObjectURL(script));
  } catch {
    return { report: verifyGiven(given, tell), stop: () => {} };
  }
  const report = new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.progress) tell(data.progress);
      else if (data.report) resolve(data.report);
      else reject(new Error(data.error));
    };
    worker.onerror = (event) => reject(new Error(event.message || "the worker failed"));
    worker.postMessage(given);
  });
  return { report: report.finally(() => worker.terminate()), stop: () => worker.terminate() };
}

/** Return every file of what was dropped, folders with all that is in them. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ path: file.name, file }));
  const files = [];
  const open = async (entry, path) => {
    if (entry.isFile) files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    else {
      const reader = entry.createReader();
      for (;;) {
        const inside = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!inside.length) break;
        for (const one of inside) await open(one, `${path}/${one.name}`);
      }
    }
  };
  for (const entry of entries) await open(entry, entry.name);
  return files;
}

class Page {
  #given = nothingGiven();
  #certificate = "";
  #running = null;

  constructor() {
    this.drop = document.getElementById("drop");
    this.progress = document.getElementById("progress");
    this.report = document.getElementById("report");
    this.status = document.getElementById("status");
    for (const id of ["files", "folder"]) {
      const input = document.getElementById(id);
      input.addEventListener("change", () => {
        const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
        input.value = "";
        this.take(files);
      });
    }
    document.getElementById("again").addEventListener("click", () => this.clear());
    document.getElementById("which").addEventListener("change", (event) => {
      this.#certificate = event.target.value;
      this.run();
    });
    addEventListener("dragover", (event) => {
      event.preventDefault();
      this.drop.classList.add("over");
    });
    addEventListener("dragleave", (event) => event.relatedTarget === null && this.drop.classList.remove("over"));
    addEventListener("drop", async (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      this.take(await droppedFiles(event.dataTransfer));
    });
  }

  async take(files) {
    this.say("Looking at what was given…");
    this.#given = await withFiles(this.#given, files);
    const names = this.#given.certificates.map(({ name }) => name);
    if (!names.includes(this.#certificate)) this.#certificate = names.at(-1) ?? "";
    this.showGiven();
    await this.run();
  }

  clear() {
    this.#running?.stop();
    this.#given = nothingGiven();
    this.#certificate = "";
    this.showGiven();
    this.report.replaceChildren();
    this.say("");
    document.getElementById("files").focus();
  }

  showGiven() {
    const given = this.#given;
    const certificate = given.certificates.find(({ name }) => name === this.#certificate);
    const counted = (files) => files && `${files.size.toLocaleString("en")} files`;
    const rows = {
      certificate: certificate?.name, proof: certificate && proofOf(given, certificate)?.name, policy: given.policy?.name,
      checkpoint: given.checkpoint?.name, log: counted(given.log), evidence: counted(given.evidence),
    };
    for (const [what, value] of Object.entries(rows)) {
      const row = document.querySelector(`[data-given="${what}"]`);
      row.classList.toggle("there", Boolean(value));
      row.querySelector("dd").textContent = value || "not given";
    }
    const which = document.getElementById("which");
    which.replaceChildren(...given.certificates.map(({ name }) => element("option", { value: name, selected: name === this.#certificate }, name)));
    document.getElementById("choice").hidden = given.certificates.length < 2;
    const shown = given.others.slice(0, 5).join(", ") + (given.others.length > 5 ? " …" : "");
    document.getElementById("others").textContent = given.others.length ? `Not used (${given.others.length}): ${shown}` : "";
  }

  say(text, progress = null) {
    this.status.textContent = text;
    this.progress.hidden = progress === null;
    if (progress !== null) this.progress.value = progress;
  }

  async run() {
    this.#running?.stop();
    const certificate = this.#given.certificates.find(({ name }) => name === this.#certificate);
    this.report.replaceChildren();
    if (!certificate) {
      this.say("There is no certificate among these files yet. Add it: certificate.json.");
      return;
    }
    const { policy, checkpoint, log, evidence } = this.#given;
    const given = { certificate, proof: proofOf(this.#given, certificate), policy, checkpoint, log, evidence };
    this.say("Checking…", 0);
    const running = verifyBeside(given, ({ step, done, of }) => this.say(`${step}: ${done.toLocaleString("en")} of ${of.toLocaleString("en")}`, done / of));
    this.#running = running;
    try {
      const report = await running.report;
      if (this.#running !== running) return;
      this.say("");
      this.report.replaceChildren(...reportView(report));
      document.getElementById("verdict").focus();
    } catch (error) {
      if (this.#running === running) this.say(`The check could not be made: ${error.message}`);
    }
  }
}

if (typeof document === "undefined") work();
else new Page();
