// What the page knows, and how it stays true: the fleet and the world are asked for again and again (a lost event is made good by the
// next look), and the journal says in between which nodes are worth a look now.

import { Blocks } from "./blocks.js";
import { conditionOf } from "./condition.js";
import { ask, nodePath, session } from "./session.js";
import { Stream } from "./stream.js";

const JOURNAL_MAX = 2000;  // records in memory
const HISTORY = 300;       // records asked for at the start
const SINGLE_MAX = 8;      // so many changed nodes are asked for one by one, more by the list
const GATHER_MS = 150;
const WORLD_MS = 1000;
const STORE_MS = 5000;

class Model extends EventTarget {
  entries = new Map();    // id → {node, state}
  conditions = new Map(); // id → condition
  world = null;           // null: not asked yet
  blocks = new Blocks();
  journal = [];           // newest last; records, and {kind: "cut", …} of our own
  link = { state: "connecting", since: Date.now(), error: "" };
  store = { isDegraded: false, reason: "" };
  storeRecord = null;     // the journal's last one about it: when and why, in short
  scripts = null;         // what GET /v1/scripts said, when it was asked
  isRunning = false;
  #dirty = new Set();
  #isAsking = false;

  constructor() {
    super();
    this.stream = new Stream({
      record: (record) => this.#take(record),
      open: (cutMs, since) => this.#opened(cutMs, since),
      cut: () => this.#lost("the journal's stream was cut"),
      denied: () => session.onDenied(),
    });
  }

  tell(what) {
    this.dispatchEvent(new CustomEvent(what));
  }

  async start() {
    this.isRunning = true;
    this.#tickWorld();
    await this.#everything();
    this.#tickNodes();
    this.#follow();
    this.#askScripts();
    this.#tickStore();
  }

  // The store is asked after, not believed from the journal alone: its record may be long ago, or not have been kept.
  async #tickStore() {
    await this.#askStore();
    clearTimeout(this.storeTimer);
    if (this.isRunning) this.storeTimer = setTimeout(() => this.#tickStore(), document.hidden ? 12 * STORE_MS : STORE_MS);
  }

  async #askStore() {
    const answer = await ask("GET", "/readyz").catch(() => null); // not ready yet, or away: the link says so
    if (!answer) return;
    const record = this.storeRecord?.state === "degraded" ? this.storeRecord : null;
    this.store = { isDegraded: answer.degraded === true, reason: record?.reason ?? answer.reasons?.[0] ?? "", since: record?.time };
    this.tell("store");
  }

  // For what is to be done: scripts that were refused. A daemon that does not offer them says nothing about them.
  async #askScripts() {
    this.scripts = await ask("GET", "/v1/scripts").catch(() => null);
  }

  // The page is seen again.
  wake() {
    clearTimeout(this.worldTimer);
    this.#tickWorld();
    this.#everything();
    this.#tickNodes();
    this.stream.hurry();
  }

  stop() {
    this.isRunning = false;
    this.stream.stop();
    for (const timer of [this.worldTimer, this.nodesTimer, this.gatherTimer, this.followTimer, this.storeTimer]) clearTimeout(timer);
    this.gatherTimer = undefined;
  }

  // ---- the link ----

  #lost(error) {
    if (!this.isRunning) return;
    if (this.link.state !== "lost") this.link = { state: "lost", since: Date.now(), error };
    this.tell("link");
  }

  #heard() {
    if (this.link.state === "live") return;
    this.link = { state: "live", since: Date.now(), error: "" };
    this.stream.hurry();
    this.tell("link");
  }

  // Runs an exchange; null, and the link is lost, when no answer came. Other refusals are the caller's.
  async #exchange(path) {
    try {
      const answer = await ask("GET", path);
      this.#heard();
      return answer;
    } catch (error) {
      if (error.status !== 401) this.#lost(error.message);
      return null;
    }
  }

  // ---- the world ----

  async #tickWorld() {
    const world = await this.#exchange("/v1/world");
    if (!this.isRunning) return;
    if (world) this.#setWorld(world);
    clearTimeout(this.worldTimer);
    this.worldTimer = setTimeout(() => this.#tickWorld(), document.hidden ? 15000 : WORLD_MS);
  }

  #setWorld(world) {
    const before = this.world;
    this.world = world;
    this.blocks.observe(world);
    if (before?.height === world.height && before?.phase === world.phase && before?.synced === world.synced) return;
    if (before?.epoch !== world.epoch || before?.phase !== world.phase) this.#judgeAll();
    this.tell("world");
  }

  // ---- the fleet ----

  #everything() {
    return this.#exchange("/admin/v1/nodes").then((list) => {
      if (!Array.isArray(list)) return;
      this.#dirty.clear();
      this.entries = new Map(list.map((entry) => [entry.node.id, entry]));
      this.#judgeAll();
      this.tell("nodes");
    });
  }

  #judgeAll() {
    this.conditions = new Map([...this.entries].map(([id, entry]) => [id, conditionOf(entry, this.world)]));
  }

  #tickNodes() {
    clearTimeout(this.nodesTimer);
    const ms = document.hidden ? 60000 : this.entries.size > 100 ? 10000 : 3000;
    this.nodesTimer = setTimeout(async () => {
      await this.#everything();
      if (this.isRunning) this.#tickNodes();
    }, ms);
  }

  async refresh(id) {
    try {
      const entry = await ask("GET", nodePath(id));
      this.entries.set(id, entry);
      this.conditions.set(id, conditionOf(entry, this.world));
    } catch (error) {
      if (error.status === 404) this.#forget(id);
      else return;
    }
    this.tell("nodes");
  }

  #forget(id) {
    this.entries.delete(id);
    this.conditions.delete(id);
  }

  #gather() {
    if (this.gatherTimer !== undefined) return;
    const ms = this.entries.size > 100 && this.#dirty.size > SINGLE_MAX ? 1500 : GATHER_MS;
    this.gatherTimer = setTimeout(async () => {
      this.gatherTimer = undefined;
      if (!this.isRunning || document.hidden || this.#isAsking || this.#dirty.size === 0) return;
      this.#isAsking = true;
      const ids = [...this.#dirty];
      this.#dirty.clear();
      if (ids.length > SINGLE_MAX) await this.#everything();
      else await Promise.all(ids.map((id) => this.refresh(id)));
      this.#isAsking = false;
      if (this.#dirty.size > 0) this.#gather();
    }, ms);
  }

  // ---- the journal ----

  // The stream begins a little before its end, so that the journal is not empty.
  async #follow() {
    const page = await this.#exchange("/v1/events?format=json&since=0&max=1");
    if (!this.isRunning) return;
    if (page) this.stream.start(Math.max(0, page.last - HISTORY));
    else this.followTimer = setTimeout(() => this.#follow(), 2000);
  }

  #take(record) {
    this.#keep(record);
    if (record.kind === "store") {
      this.storeRecord = record;
      this.#askStore();
    }
    if (record.kind === "reload") this.#askScripts();
    if (record.node_id) {
      this.#dirty.add(record.node_id);
      this.#gather();
    }
  }

  #keep(record) {
    this.journal.push(record);
    if (this.journal.length > JOURNAL_MAX) this.journal.splice(0, this.journal.length - JOURNAL_MAX * 0.9);
    this.tell("journal");
  }

  #opened(cutMs, since) {
    this.#heard();
    if (cutMs === null) return;
    this.#keep({ kind: "cut", time: new Date().toISOString(), ms: cutMs, since });
    this.#everything();
  }
}

export const model = new Model();

// Everything about a node changes only through these; what went wrong is thrown in words.
export const actions = {
  setEnabled: (id, isEnabled, reason) => ask("POST", nodePath(id, isEnabled ? "/enable" : "/disable"), reason ? { reason } : {}),
  reconcile: (id) => ask("POST", "/v1/commands/reconcile", { node_id: id }),
  probe: (id) => ask("POST", "/v1/commands/probe", { node_id: id }),
};
