// How things are said: durations, moments, statuses, records of the journal.

const two = (number) => String(number).padStart(2, "0");

// 820 ms, 4.2 s, 38 s, 6 min, 3 h 5 min, 2 d 4 h
export function duration(ms) {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${(Math.floor(s * 10) / 10).toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return min < 10 && s % 60 >= 1 ? `${min} min ${Math.floor(s % 60)} s` : `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
  return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
}

// In whole steps, for what is counted down or up: a figure that flickers is not calm.
export const roughly = (ms) => (ms < 60000 ? `${Math.max(0, Math.round(ms / 1000))} s` : duration(Math.floor(ms / 1000) * 1000));

// In one unit up to an hour: for narrow columns.
export const shortly = (ms) => (ms >= 60000 && ms < 3600000 ? `${Math.floor(ms / 60000)} min` : roughly(ms));

// For sentences: nobody plans by the second until it is near.
export const coarsely = (ms) => (ms >= 120000 && ms < 3600000 ? `${Math.floor(ms / 60000)} min` : roughly(ms));

// A failure without the address in front of it: the address is the node's own, and long.
export const brief = (reason) => reason.replace(/^(probe: )?(GET|POST) https?:\S+?:? (?=\S)(was )?/, "");

// 14:02 today, "24 Nov 14:02" on other days; with seconds when asked for.
export function moment(text, withSeconds = false, now = Date.now()) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const time = `${two(at.getHours())}:${two(at.getMinutes())}${withSeconds ? `:${two(at.getSeconds())}` : ""}`;
  if (at.toDateString() === new Date(now).toDateString()) return time;
  return `${at.getDate()} ${at.toLocaleString("en", { month: "short" })} ${time}`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const STATUSES = { INFERENCE: "Inference", TRAINING: "Training", STOPPED: "Stopped", FAILED: "Failed", UNKNOWN: "Unknown" };
const POCS = { GENERATING: "PoC generating", VALIDATING: "PoC validating", IDLE: "PoC" };

export function statusWords(status, poc) {
  if (status === "POC") return POCS[poc] ?? `PoC ${poc}`;
  return STATUSES[status] ?? String(status ?? "");
}

// A target in one line; what a daemon says in its own words stays as it is.
export function targetWords(target) {
  if (target === null || target === undefined) return "";
  if (typeof target !== "object") return String(target);
  const parts = [statusWords(target.status, target.poc)];
  if (target.model) parts.push(target.model);
  if (target.args?.length > 0) parts.push(target.args.join(" "));
  if (target.block_height) parts.push(`episode of block ${target.block_height}`);
  if (target.node_count) parts.push(`number ${target.node_id} of ${target.node_count}`);
  return parts.join(" · ");
}

const PHASES = {
  Inference: "Inference", PoCGenerate: "PoC: generating", PoCGenerateWindDown: "PoC: generation winds down",
  PoCValidate: "PoC: validating", PoCValidateWindDown: "PoC: validation winds down",
};
export const phaseWords = (phase) => PHASES[phase] ?? String(phase);

// What a record of the journal says, in a sentence without its time and its node.
const SENTENCES = {
  start: (r) => `the daemon started (version ${r.version}, start ${r.start})`,
  store: (r) => `the store: ${r.state}${r.reason ? `, ${r.reason}` : ""}`,
  command: (r) => `${r.name} by ${r.caller || "somebody"}: ${r.outcome}${r.reason || r.error ? `, ${r.reason || r.error}` : ""}`,
  gap: (r) => (r.from ? `records ${r.from} to ${r.to} are not kept` : `${r.count} records were not kept`),
  status: (r) => `${statusWords(r.from, r.poc_from)} → ${statusWords(r.to, r.poc_to)}${r.reason ? `: ${r.reason}` : ""}` +
    (r.by === "probe" ? " (seen by a probe)" : ""),
  attempt: (r) => `attempt ${r.fence?.attempt ?? ""} to ${statusWords(r.status, r.poc_status)} ${outcomeWords(r.outcome)} after ` +
    `${duration(r.duration_ms)}${r.error ? `: ${r.error}` : ""}`,
  register: (r) => `registered as number ${r.node_num}`,
  update: () => "its configuration was changed",
  remove: () => "removed",
  admin: (r) => `${r.enabled ? "enabled" : "disabled"} as of epoch ${r.epoch}${r.reason ? `: ${r.reason}` : ""}`,
  target: (r) => `new target ${statusWords(r.target?.status, r.target?.poc)}${r.target?.reason ? `: ${r.target.reason}` : ""}`,
  episode: (r) => `the PoC of block ${r.height} begins with ${count(r.node_count ?? 0, "node number")}`,
  reload: (r) => reloadWords(r),
  note: (r) => plain(r),
};

export const outcomeWords = (outcome) => (outcome === "succeeded" ? "succeeded" : outcome === "cancelled" ? "was cancelled" : `failed (${outcome})`);

function reloadWords(r) {
  const by = r.caller ? ` by ${r.caller}` : "", why = r.reason ? `: ${r.reason}` : "";
  if (r.outcome !== "done") return `${r.action}${by} ${r.outcome}${why}`;
  const changed = Number.isFinite(r.changes) ? `, ${r.changes === 0 ? "no target" : count(r.changes, "target")} changed` : "";
  return `${r.action}${by}: generation ${r.generation} is live${r.action === "rollback" ? " again" : ""}${changed}${why}`;
}

// Records whose fields are somebody else's: key by key.
function plain(record) {
  const known = new Set(["seq", "time", "kind", "node_id"]);
  return Object.entries(record).filter(([key]) => !known.has(key))
    .map(([key, value]) => `${key.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

export function sentence(record) {
  const say = SENTENCES[record.kind];
  return say ? say(record) : plain(record);
}
