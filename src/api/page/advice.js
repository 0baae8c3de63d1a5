// What the operator should do now, in words. A pure function of what is known: {world, blocks, nodes: [{entry, condition}], link, store,
// scripts, now} gives [{tone, ids, text, next}], the most urgent first; never empty. `text` goes on
// after the names of `ids`.

import { pocHeight } from "./blocks.js";
import { brief, coarsely, count, duration, moment, roughly } from "./words.js";

const SILENT_MS = 60000;   // no block for so long is worth a word, if blocks are not slower than that
const LONG_LOAD_MS = 20 * 60000; // the longest load that is normal
const SOON_MS = 15 * 60000;

// How a node fails: what it does, for one and for several, and what to look at. isTold: its own words say more.
const FAILURES = [
  { like: /refused|unreachable/i, one: "refuses connections", many: "refuse connections", next: "Is the machine up, and does its ML node process run?" },
  { like: /resolve/i, one: "has a host name that cannot be resolved", many: "have host names that cannot be resolved",
    next: "Look at the host in its configuration, and at DNS." },
  { like: /timed? ?out|time-out|deadline|no answer|not answered/i, one: "does not answer", many: "do not answer",
    next: "It may hang, or a firewall swallows its answers: look at the machine, then restart the container." },
  { like: /reset|closed|broke|broken/i, one: "breaks connections off", many: "break connections off", next: "Its process may end again and again: see its log." },
  { like: /conflict|\b409\b/i, one: "says that another service runs on it", many: "say that another service runs on them",
    next: "Does somebody else control it? It is stopped and tried again." },
  { like: /\b5\d\d\b|load|server/i, one: "answers with an error", many: "answer with an error", next: "See its log.", isTold: true },
];
const OTHER = { one: "has failed", many: "have failed", next: "It is tried again with a growing pause.", isTold: true };

// Addresses have numbers that look like statuses.
function kindOf(reason) {
  const words = reason.replace(/https?:\S+/g, "");
  return FAILURES.find(({ like }) => like.test(words)) ?? OTHER;
}

function pocWords({ world, blocks, now }) {
  const height = pocHeight(world);
  if (height === null) return "";
  const ms = blocks.until(height, now);
  return ms === null ? `PoC starts in ${count(height - world.height, "block")}` : `PoC starts in ${coarsely(ms)}`;
}

const withPoc = (facts) => {
  const words = pocWords(facts);
  return words ? `; ${words}` : "";
};

const sentenceOf = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function ofLink({ link, now }) {
  if (link.state !== "lost") return [];
  return [{ tone: "bad", text: `No connection to the daemon since ${moment(link.since, true, now)}: what is shown is ${duration(now - link.since)} old.`,
    next: `${link.error ? `${sentenceOf(link.error)} ` : ""}It is tried again by itself.`, ids: [] }];
}

function ofChain({ world, blocks, link, now }) {
  if (!world || link.state === "lost") return []; // no block comes here then, whatever the chain does
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

// About these nodes; `one` and `many` go on after their names.
const about = (tone, ids, one, many, next) => ({ tone, ids, text: ids.length === 1 ? one : many, next });
const idsOf = (list) => list.map(({ entry }) => entry.node.id);

// Failed nodes, those with the same kind of failure together.
function ofFailures(facts) {
  const groups = new Map();
  for (const { entry, condition } of facts.nodes) {
    if (condition.key !== "failed" && condition.key !== "retry") continue;
    const kind = kindOf(condition.detail), key = kind.isTold ? condition.detail : kind.one;
    if (!groups.has(key)) groups.set(key, { kind, ids: [], since: Infinity, detail: condition.detail });
    const group = groups.get(key), since = Date.parse(entry.state.status_timestamp);
    group.ids.push(entry.node.id);
    if (since < group.since) group.since = since;
  }
  return [...groups.values()].map(({ kind, ids, since, detail }) => {
    const tail = `${Number.isFinite(since) ? ` since ${moment(since, false, facts.now)}` : ""}${withPoc(facts)}.`;
    return about("bad", ids, kind.one + tail, kind.many + tail, kind.isTold && detail ? `${kind.next} ${sentenceOf(brief(detail))}` : kind.next);
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
  return [about("warn", idsOf(late), `does not take part in the PoC yet${left}.`, `do not take part in the PoC yet${left}.`,
    "An attempt is under way or about to start.")];
}

function ofLoads(facts) {
  const loads = facts.nodes.filter(({ condition }) => condition.key === "loading");
  const isSlow = ({ entry }) => facts.now - Date.parse(entry.state.reconcile_info.started_at) > LONG_LOAD_MS;
  const slow = idsOf(loads.filter(isSlow)), others = idsOf(loads.filter((load) => !isSlow(load)));
  const tail = `been loading a model for more than 20 min${withPoc(facts)}.`;
  return [
    slow.length > 0 && about("warn", slow, `has ${tail}`, `have ${tail}`, "See its log: a load normally ends by then."),
    others.length > 0 && about("info", others, "is loading a model.", "are loading a model.", "This may take up to 20 min."),
  ].filter(Boolean);
}

function ofWaiting(facts) {
  const ids = idsOf(facts.nodes.filter(({ condition }) => condition.key === "waiting"));
  if (ids.length === 0) return [];
  const height = pocHeight(facts.world), ms = height === null ? null : facts.blocks.until(height, facts.now);
  const next = height === null ? "Takes part from the next PoC on." : ms !== null && ms < SOON_MS ? "Keep it up: it must be reachable when the PoC starts."
    : "Earns nothing before, and must be reachable when the PoC starts.";
  return [about("info", ids, `waits for its first PoC${withPoc(facts)}.`, `wait for their first PoC${withPoc(facts)}.`, next)];
}

// Also for the line above the other views.
export function storeWords({ reason, since }, now) {
  return {
    title: `The store cannot be written${since ? ` since ${moment(since, false, now)}` : ""}: changes that must last are refused; the fleet goes on as it is.`,
    next: `${reason ? sentenceOf(reason) : ""} Look at the disk of the daemon's machine: is it full, or read-only?`.trim(),
  };
}

function ofDaemon({ store, scripts, now }) {
  const items = [];
  if (store.isDegraded) {
    const { title, next } = storeWords(store, now);
    items.push({ tone: "bad", text: title, next, ids: [] });
  }
  const rejected = scripts?.rejected;
  if (rejected) {
    const fault = rejected.faults?.[0];
    const where = fault?.file ? `${fault.file}${fault.line ? `:${fault.line}` : ""}: ${fault.message}` : sentenceOf(rejected.reason || "see Scripts");
    const text = fault ? `The scripts on disk were refused; generation ${scripts.generation} goes on.`
      : `The scripts on disk are not the live ones: generation ${scripts.generation} was gone back to.`;
    items.push({ tone: "warn", text, next: where, ids: [] });
  }
  return items;
}

function ofDisabled({ nodes }) {
  const ids = idsOf(nodes.filter(({ entry }) => entry.state.admin_state?.enabled === false));
  if (ids.length === 0) return [];
  return [about("info", ids, "is disabled.", "are disabled.", "Enable it on its page when it is to take part again.")];
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
  const order = { bad: 0, warn: 1, ok: 2, info: 3 };
  if (!items.some((item) => item.tone === "bad" || item.tone === "warn")) items.unshift(allWell(facts));
  return items.sort((a, b) => order[a.tone] - order[b.tone]);
}
