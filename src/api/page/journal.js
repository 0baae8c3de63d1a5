// The journal as it grows, newest first, with filters. What is older than the page is asked for by "Older".

import { byId, button, el, setText } from "./dom.js";
import { nodeHref } from "./fleet.js";
import { model } from "./model.js";
import { ask } from "./session.js";
import { toneOf } from "./timeline.js";
import { count, duration, moment, sentence } from "./words.js";

const ROWS_MAX = 400;
const KINDS = ["status", "attempt", "target", "command", "admin", "register", "update", "remove", "episode", "reload", "note", "store", "start", "gap"];

function cutWords(record) {
  return `The connection was lost for ${duration(record.ms)} and taken up again after record ${record.since}: ` +
    "what happened in between follows.";
}

// Blocks come all the time: that one was taken in is no news.
const isBlock = (record) => record.kind === "command" && record.name === "new_block" && record.outcome !== "error";

function recordItem(record) {
  const words = record.kind === "cut" ? cutWords(record) : sentence(record);
  const raw = el("details", {}, el("summary", { text: record.kind === "cut" ? "—" : record.kind, title: "Show the whole record" }));
  raw.addEventListener("toggle", () => {
    if (raw.open && raw.childElementCount === 1) raw.append(el("pre", { tabindex: 0, text: JSON.stringify(record, null, 2) }));
  });
  const isMark = record.kind === "cut" || record.kind === "gap";
  return el("li", { class: toneOf(record) }, el("time", { datetime: record.time ?? "", text: record.time ? moment(record.time, true) : "—" }),
    isMark ? el("span", { class: "kind", text: record.kind === "gap" ? "gap" : "cut" }) : raw,
    record.node_id ? el("a", { class: "who", href: nodeHref(record.node_id), text: record.node_id }) : el("span", { class: "who" }),
    el("span", { class: "said", text: words }));
}

export class Journal {
  constructor() {
    this.older = []; // records before the model's, oldest first, for the present filter
    this.reachedStart = false;
    this.isHeld = false;
    this.waiting = [];
    this.kind = el("select", { id: "kind", on: { change: () => this.restart() } }, el("option", { value: "calm", text: "all but blocks" }), el("option", { value: "", text: "all kinds" }), KINDS.map((kind) => el("option", { value: kind, text: kind })));
    this.node = el("input", { type: "search", id: "journal-node", placeholder: "all nodes", autocomplete: "off", list: "node-ids", on: { input: () => this.restart() } });
    this.ids = el("datalist", { id: "node-ids" });
    this.hold = button("Pause", () => this.#toggle(), { "aria-pressed": "false" });
    this.list = el("ol", { class: "records wide", "aria-label": "Records, newest first" });
    this.more = button("Older", () => this.#older(), { class: "quiet" });
    this.status = el("p", { class: "hint", role: "status" });
    byId("view-journal").append(el("section", { class: "card flush", "aria-labelledby": "journal-title" },
      el("div", { class: "controls" }, el("h1", { id: "journal-title", text: "Journal" }),
        el("label", { for: "kind" }, "Kind", this.kind), el("label", { for: "journal-node" }, "Node", this.node, this.ids), this.hold),
      this.list, el("div", { class: "row foot" }, this.more, this.status)));
  }

  get isShown() {
    return !byId("view-journal").hidden;
  }

  #passes(record) {
    if (record.kind === "cut" || record.kind === "gap") return true;
    const kind = this.kind.value;
    if (kind === "calm" && isBlock(record)) return false;
    return (kind === "calm" || !kind || record.kind === kind) && (!this.node.value.trim() || record.node_id === this.node.value.trim());
  }

  show() {
    const ids = [...model.entries.keys()].slice(0, 1000);
    this.ids.replaceChildren(...ids.map((id) => el("option", { value: id })));
    this.restart();
  }

  restart() {
    this.older = [];
    this.reachedStart = false;
    this.waiting = [];
    this.rows = ROWS_MAX;
    setText(this.status, "");
    this.#draw();
  }

  // A new record. Rows are added in one go per frame.
  record(record) {
    if (!this.isShown || !this.#passes(record)) return;
    this.waiting.push(record);
    if (this.waiting.length > ROWS_MAX) this.waiting.shift();
  }

  flush() {
    if (this.waiting.length === 0) return;
    if (this.isHeld) {
      setText(this.hold, `Go on (${this.waiting.length} new)`);
      return;
    }
    const isOpen = this.list.querySelector("details[open]") !== null || this.list.contains(document.activeElement);
    const height = this.list.scrollHeight;
    this.list.prepend(...this.waiting.reverse().map(recordItem));
    this.waiting = [];
    while (this.list.childElementCount > this.rows) this.list.lastElementChild.remove();
    // Who reads further down stays there.
    if (isOpen || scrollY > 200) scrollBy({ top: this.list.scrollHeight - height, behavior: "instant" });
    this.#sayEmpty();
  }

  #toggle() {
    this.isHeld = !this.isHeld;
    this.hold.setAttribute("aria-pressed", String(this.isHeld));
    setText(this.hold, this.isHeld ? "Go on" : "Pause");
    if (!this.isHeld) this.flush();
  }

  #draw() {
    const all = [...this.older, ...model.journal.filter((record) => this.#passes(record))];
    this.list.replaceChildren(...all.slice(-this.rows).reverse().map(recordItem));
    this.#sayEmpty();
  }

  #sayEmpty() {
    if (this.list.childElementCount === 0) setText(this.status, "Nothing of that kind in the newest records. Older ones may have some.");
    else if (this.status.textContent.startsWith("Nothing")) setText(this.status, "");
  }

  // Goes back in growing steps until there are some more.
  async #older() {
    const oldest = (this.olderFrom ?? null) !== null && this.older.length > 0 ? this.olderFrom : model.journal.find(({ seq }) => seq)?.seq ?? 1;
    this.more.disabled = true;
    setText(this.status, "Reading the journal…");
    try {
      const found = await this.#back(oldest);
      this.older = [...found, ...this.older];
      this.rows += found.length;
      this.#draw();
      setText(this.status, found.length > 0 ? `${count(found.length, "older record")}.` : "There are no older ones.");
    } catch (error) {
      setText(this.status, `The journal could not be read: ${error.message}.`);
    }
    this.more.disabled = false;
  }

  async #back(before) {
    const filter = `${this.kind.value && this.kind.value !== "calm" ? `&kind=${this.kind.value}` : ""}${this.node.value.trim() ? `&node=${encodeURIComponent(this.node.value.trim())}` : ""}`;
    let found = [];
    for (let step = 500, end = before; end > 1 && found.length < 50; step *= 4) {
      const since = Math.max(0, end - 1 - step);
      const page = await ask("GET", `/v1/events?format=json&since=${since}&max=5000${filter}`);
      const got = page.events.filter((record) => record.seq < end && this.#passes(record));
      if (page.gap && got.length === 0 && since > 0) got.unshift({ kind: "gap", from: page.gap.from, to: page.gap.to });
      found = [...got, ...found];
      this.olderFrom = since + 1;
      if (page.gap) break;
      end = since + 1;
    }
    return found;
  }
}
