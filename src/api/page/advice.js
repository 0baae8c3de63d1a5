// What the operator should do now, in words. A pure function of what is known: {world, blocks, nodes: [{entry, condition}], link, store,
// scripts, now} gives [{tone, text, next, ids}], the most urgent first; never empty.

import { pocHeight } from "./blocks.js";
import { count, duration, moment, names, roughly } from "./words.js";

const SILENT_MS = 60000;   // no block for so long is worth a word, if blocks are not slower than that
const LONG_LOAD_MS = 20 * 60000; // the longest load that is normal
const SOON_MS = 15 * 60000;

// How a node fails: what it does, for one and for several, and what to look at.
const FAILURES = [
  [/refused|unreachable/i, "refuses connections", "refuse connections", "Is the machine up, and does its ML node process run?"],
  [/resolve|name or service/i, "has a host name that cannot be resolved", "have host names that cannot be resolved", "Look at the host in its configuration, and at DNS."],
  [/timed? ?out|time-out|deadline|no answer|hang/i, "does not answer", "do not answer", "It may hang, or a firewall swallows its answers: look at the machine, then restart the container."],
  [/reset|closed|broke/i, "breaks connections off", "break connections off", "Its process probably ends again and again: see its log."],
  [/conflict|409/i, "says that another service runs on it", "say that another service runs on them", "Does somebody else control it? It is stopped and tried again."],
  [/bad.?answer|understood|json/i, "gives answers that cannot be understood", "give answers that cannot be understood", "Is it an ML node at all, behind this host and port?"],
  [/script|\.lua:/i, "fails because of its driver script", "fail because of their driver script", "See the scripts; a rollback may help."],
  [/load|model|up failed|\b5\d\d\b|server/i, "answers with an error", "answer with errors", "See its log: memory, the model's files, the arguments."],
];

function kindOf(reason) {
  const i = FAILURES.findIndex(([pattern]) => pattern.test(reason));
  return i < 0 ? "other" : i;
}

function pocWords({ world, blocks, now }) {
  const height = pocHeight(world);
  if (height === null) return "";
  const ms = blocks.until(height, now);
  return ms === null ? `PoC starts in ${count(height - world.height, "block")}` : `PoC starts in ${roughly(ms)}`;
}

const withPoc = (facts) => {
  const words = pocWords(facts);
  return words ? `; ${words}` : "";
};

function ofLink({ link, now }) {
  if (link.state !== "lost") return [];
  return [{ tone: "bad", text: `No connection to the daemon since ${moment(link.since, true, now)}: what is shown is ${duration(now - link.since)} old.`,
    next: `${link.error}. It is tried again by itself.`, ids: [] }];
}

function ofChain({ world, blocks, now }) {
  if (!world) return [];
  if (!Number.isFinite(world.height)) {
    return [{ tone: "warn", text: "No block has come yet: no attempt starts before the first one.",
      next: "Look at the feed in the configuration; with feed kind none, blocks come by the command new_block.", ids: [] }];
  }
  const items = [];
  if (world.synced === false) {
    items.push({ tone: "warn", text: "The chain endpoint is catching up: no phase command sets a new target until it is done.",
      next: "Targets that are set already are still pursued.", ids: [] });
  }
  const silent = blocks.silentMs(now), ms = blocks.ms();
  if (silent !== null && silent > Math.max(SILENT_MS, 10 * (ms ?? 0))) {
    items.push({ tone: "warn", text: `No new block for ${duration(silent)}${ms ? ` (one takes about ${duration(ms)})` : ""}.`,
      next: "Look at the chain endpoints.", ids: [] });
  }
  if (!world.phase) {
    items.push({ tone: "warn", text: "The phase is not known: neither epoch nor parameters have come.", next: "Look at the feed's REST endpoint.", ids: [] });
  }
  return items;
}

// Failed nodes, those with the same kind of failure together.
function ofFailures(facts) {
  const groups = new Map();
  for (const { entry, condition } of facts.nodes) {
    if (condition.key !== "failed" && condition.key !== "retry") continue;
    const kind = kindOf(condition.detail);
    const key = kind === "other" ? `other ${condition.detail}` : kind;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({ id: entry.node.id, since: Date.parse(entry.state.status_timestamp), detail: condition.detail });
  }
  return [...groups].map(([key, list]) => {
    const ids = list.map((item) => item.id);
    const since = Math.min(...list.map((item) => item.since).filter(Number.isFinite));
    const [, one, many, next] = FAILURES[key] ?? [null, null, null, "It is tried again with a growing pause."];
    const does = one === null ? `${ids.length === 1 ? "has" : "have"} failed` : ids.length === 1 ? one : many;
    const said = list[0].detail ? ` Last answer: ${list[0].detail}` : "";
    return { tone: "bad", ids, text: `${names(ids)} ${does}${Number.isFinite(since) ? ` since ${moment(since, false, facts.now)}` : ""}${withPoc(facts)}.`,
      next: `${next}${said}` };
  });
}

// During a PoC: who does not take part although it should.
function ofPoc({ world, nodes, blocks, now }) {
  if (!world?.phase?.startsWith("PoC")) return [];
  const late = nodes.filter(({ entry, condition }) => entry.state.intended_status === "POC" && entry.state.current_status !== "POC" &&
    condition.key !== "failed" && condition.key !== "retry");
  if (late.length === 0) return [];
  const ends = world.stages?.[world.phase.startsWith("PoCGenerate") ? "poc_generation_end" : "poc_validation_end"];
  const ms = blocks.until(ends, now);
  const left = Number.isFinite(ends) && ends > world.height ? `; ${count(ends - world.height, "block")} are left${ms === null ? "" : ` (${roughly(ms)})`}` : "";
  const ids = late.map(({ entry }) => entry.node.id);
  return [{ tone: "warn", ids, text: `${names(ids)} ${ids.length === 1 ? "does" : "do"} not take part in the PoC yet${left}.`,
    next: "An attempt is under way or about to start." }];
}

function ofLoads(facts) {
  const loads = facts.nodes.filter(({ condition }) => condition.key === "loading");
  const slow = loads.filter(({ entry }) => facts.now - Date.parse(entry.state.reconcile_info.started_at) > LONG_LOAD_MS);
  const items = [];
  if (slow.length > 0) {
    const ids = slow.map(({ entry }) => entry.node.id);
    items.push({ tone: "warn", ids, text: `${names(ids)} ${ids.length === 1 ? "has" : "have"} been loading a model for more than 20 min${withPoc(facts)}.`,
      next: "See its log: a load normally ends by then." });
  }
  const others = loads.filter((item) => !slow.includes(item)).map(({ entry }) => entry.node.id);
  if (others.length > 0) {
    items.push({ tone: "info", ids: others, text: `${names(others)} ${others.length === 1 ? "is" : "are"} loading a model${withPoc(facts)}.`,
      next: "This may take up to 20 min." });
  }
  return items;
}

function ofWaiting(facts) {
  const ids = facts.nodes.filter(({ condition }) => condition.key === "waiting").map(({ entry }) => entry.node.id);
  if (ids.length === 0) return [];
  const height = pocHeight(facts.world), ms = height === null ? null : facts.blocks.until(height, facts.now);
  const isSoon = ms !== null && ms < SOON_MS;
  return [{ tone: "info", ids, text: `${names(ids)} ${ids.length === 1 ? "waits" : "wait"} for ${ids.length === 1 ? "its" : "their"} first PoC${withPoc(facts)}.`,
    next: height === null ? "It takes part from the next PoC on." : isSoon ? "Keep it up: it must be reachable when the PoC starts."
      : "It earns nothing before. It must be reachable when the PoC starts." }];
}

function ofDaemon({ store, scripts, now }) {
  const items = [];
  if (store?.state === "degraded") {
    items.push({ tone: "bad", text: `The store cannot be written since ${moment(store.time, false, now)}: changes are refused.`,
      next: `${store.reason ?? ""} The fleet goes on. Look at the disk.`.trim(), ids: [] });
  }
  const rejected = scripts?.rejected;
  if (rejected) {
    const fault = rejected.faults?.[0];
    const where = fault?.file ? `${fault.file}${fault.line ? `:${fault.line}` : ""}: ${fault.message}` : rejected.reason;
    items.push({ tone: "warn", text: `The scripts on disk were refused; generation ${scripts.generation} goes on.`, next: where ?? "See Scripts.", ids: [] });
  }
  return items;
}

function ofDisabled({ nodes }) {
  const ids = nodes.filter(({ entry }) => entry.state.admin_state?.enabled === false).map(({ entry }) => entry.node.id);
  if (ids.length === 0) return [];
  return [{ tone: "info", ids, text: `${names(ids)} ${ids.length === 1 ? "is" : "are"} disabled.`, next: "Enable it on its page when it is to take part again." }];
}

function allWell(facts) {
  const total = facts.nodes.length;
  if (total === 0) return { tone: "info", ids: [], text: "No node is registered.", next: "coxswain node add -f node-config.json, or nodes = … in the configuration." };
  const poc = pocWords(facts);
  const busy = facts.nodes.filter(({ condition }) => condition.tone === "busy" || condition.tone === "warn").length;
  if (busy > 0) return { tone: "info", ids: [], text: `${count(busy, "node")} of ${total} ${busy === 1 ? "is" : "are"} on the way to what the phase asks for.`, next: poc ? `${poc}.` : "" };
  return { tone: "ok", ids: [], text: `Nothing to do: ${total === 1 ? "the node is" : `all ${total.toLocaleString("en")} nodes are`} what the phase asks for.`, next: poc ? `${poc}.` : "" };
}

export function adviceOf(facts) {
  const items = [ofLink, ofDaemon, ofChain, ofFailures, ofPoc, ofLoads, ofWaiting, ofDisabled].flatMap((rule) => rule(facts));
  const order = { bad: 0, warn: 1, info: 2, ok: 3 };
  if (!items.some((item) => item.tone === "bad" || item.tone === "warn")) items.unshift(allWell(facts));
  return items.sort((a, b) => order[a.tone] - order[b.tone]);
}
