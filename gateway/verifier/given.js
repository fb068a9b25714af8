// What somebody has dropped: which file is the certificate, its proof, a policy, a checkpoint, the log, the evidence.
// Told by what is in them, not by what they are called, but for evidence, which is named by its digest.

import { isDigest, textOf } from "./bytes.js";

const SNIFF_BYTES = 4096;
/** Files outside log and evidence that are looked into; whoever drops a whole disk is spared the wait. */
const SNIFFED_AT_MOST = 500;
const NOT_A_CERTIFICATE_BYTES = 64e6;

export const nothingGiven = () => ({ certificates: [], proofs: [], policy: null, checkpoint: null, log: null, evidence: null, others: [] });

const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);

/** Return `given` with these files ({path, file}) sorted into it. */
export async function withFiles(given, files) {
  const now = { ...given, others: [] };
  const rest = takeLog(now, takeEvidence(now, files));
  for (const one of rest.slice(0, SNIFFED_AT_MOST)) await takeFile(now, one);
  now.others.push(...rest.slice(SNIFFED_AT_MOST).map(({ path }) => path));
  return now;
}

function takeEvidence(given, files) {
  const evidence = files.filter(({ path }) => isDigest(nameOf(path)));
  if (evidence.length) given.evidence = new Map([...(given.evidence ?? []), ...evidence.map(({ path, file }) => [nameOf(path), file])]);
  return files.filter(({ path }) => !isDigest(nameOf(path)));
}

/** A log is a folder with a file `checkpoint` beside a folder `tile`. */
function takeLog(given, files) {
  const roots = files.map(({ path }) => path).filter((path) => nameOf(path) === "checkpoint").map((path) => path.slice(0, -"checkpoint".length));
  const root = roots.find((prefix) => files.some(({ path }) => path.startsWith(`${prefix}tile/`)));
  if (root === undefined) return files;
  const isOfLog = (path) => path === `${root}checkpoint` || path.startsWith(`${root}tile/`) || path.startsWith(`${root}cosigned/`);
  given.log = new Map(files.filter(({ path }) => isOfLog(path)).map(({ path, file }) => [path.slice(root.length), file]));
  return files.filter(({ path }) => !isOfLog(path));
}

async function takeFile(given, { path, file }) {
  const what = await kindOf(file);
  const one = { name: nameOf(path), file };
  if (what === "certificate") given.certificates = [...given.certificates.filter(({ name }) => name !== one.name), one];
  else if (what === "proof") given.proofs = [...given.proofs.filter(({ name }) => name !== one.name), one];
  else if (what !== null) given[what] = one;
  else given.others.push(path);
}

async function kindOf(file) {
  if (file.size > NOT_A_CERTIFICATE_BYTES) return null;
  const start = latin(await bytesOf(file.slice(0, SNIFF_BYTES)));
  if (start.startsWith("c2sp.org/tlog-proof@")) return "proof";
  if (start.startsWith("{")) return (await isCertificate(file)) ? "certificate" : null;
  if (/^[^\n]+\n(0|[1-9][0-9]*)\n[A-Za-z0-9+/]{43}=\n\n/.test(start)) return "checkpoint";
  const lines = start.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  return lines.length && /^(log|witness|group|quorum)\s/.test(lines[0]) ? "policy" : null;
}

/** Also one that is damaged or not canonical: it must be refused aloud, not passed over. */
async function isCertificate(file) {
  try {
    return /"type"\s*:\s*"certificate"/.test(textOf(await bytesOf(file), "it")) || file.name?.startsWith("certificate");
  } catch {
    return file.name?.startsWith("certificate") ?? false;
  }
}

const latin = (bytes) => String.fromCharCode(...bytes);

export const bytesOf = async (file) => new Uint8Array(await file.arrayBuffer());

/** Return the proof that goes with a certificate: that of its name, else the only one. */
export function proofOf(given, certificate) {
  const stem = certificate.name.replace(/\.json$/, "");
  return given.proofs.find(({ name }) => name === `${stem}.tlog-proof`) ?? (given.proofs.length === 1 ? given.proofs[0] : null);
}

const folderOf = (files) => files && { has: (path) => files.has(path), names: () => files.keys(), read: async (path) => (files.has(path) ? bytesOf(files.get(path)) : null) };

/** Return what `verify` takes, of the files that were given. */
export async function openGiven({ certificate, proof, policy, checkpoint, log, evidence }) {
  const read = async (one) => (one ? bytesOf(one.file) : null);
  const text = policy ? textOf(await read(policy), "the trust policy") : null;
  return { certificate: await read(certificate), proof: await read(proof), checkpoint: await read(checkpoint), policy: text,
    log: folderOf(log), evidence: folderOf(evidence) };
}
