// The fleet: what to do now, how many nodes are in which condition, and the grid. Only the rows that can be seen exist, so ten thousand
// nodes cost what forty do.

import { adviceOf } from "./advice.js";
import { CONDITIONS, rankOf } from "./condition.js";
import { byId, button, el, glyph, setAttribute, setText } from "./dom.js";
import { model } from "./model.js";
import { brief, count, roughly, shortly, statusWords } from "./words.js";

const OVERSCAN = 8;
const GLYPH_OF = { bad: "failed", warn: "warn", info: "info", ok: "serving" };

export const nodeHref = (id) => `#/nodes/${encodeURIComponent(id)}`;

// ---- what to do now ----

const NAMED = 3; // nodes of one item that are named

// One thing to do. It stays the same element while only its figures change: who is about to click is not robbed of the link.
class Item {
  constructor({ tone, ids }) {
    this.text = document.createTextNode("");
    this.hint = el("span", { class: "hint" });
    const links = ids.slice(0, NAMED).map((id) => el("a", { href: nodeHref(id), text: id }));
    const last = ids.length > NAMED ? ` and ${count(ids.length - NAMED, "more", "more")} ` : " ";
    const who = links.flatMap((link, i) => (i === 0 ? [link] : [i === links.length - 1 && ids.length <= NAMED ? " and " : ", ", link]));
    this.element = el("li", { class: tone }, glyph(GLYPH_OF[tone], tone),
      el("p", {}, el("span", { class: "what" }, who, who.length > 0 ? last : "", this.text), " ", this.hint));
  }

  show({ text, next }) {
    if (this.text.data !== text) this.text.data = text;
    setText(this.hint, next);
  }
}

export class Advice {
  constructor() {
    this.list = el("ul", { class: "advice" });
    this.box = el("section", { class: "card now", "aria-labelledby": "now-title" }, el("h2", { id: "now-title", text: "What to do now" }), this.list);
    this.items = new Map();
  }

  update(now = Date.now()) {
    if (model.world === null || model.link.state === "connecting") return;
    const nodes = [...model.entries.values()].map((entry) => ({ entry, condition: model.conditions.get(entry.node.id) }));
    const before = this.items;
    this.items = new Map();
    adviceOf({ world: model.world, blocks: model.blocks, nodes, link: model.link, store: model.store, scripts: model.scripts, now }).forEach((advice, i) => {
      const key = JSON.stringify([advice.tone, advice.ids.length, advice.ids.slice(0, NAMED), advice.ids.length > 0 ? "" : i]);
      const item = before.get(key) ?? new Item(advice);
      item.show(advice);
      this.items.set(key, item);
      if (this.list.children[this.items.size - 1] !== item.element) this.list.insertBefore(item.element, this.list.children[this.items.size - 1] ?? null);
    });
    while (this.list.childElementCount > this.items.size) this.list.lastElementChild.remove();
  }
}

// ---- the grid ----

const attemptSince = (state) => Date.parse(state.reconcile_info?.started_at ?? state.next_attempt_at ?? "") || 0;
const loadOf = ({ node, state }) => state.lock_count / Math.max(1, node.max_concurrent);
const byText = new Intl.Collator("en", { numeric: true }).compare;

// What is shown, and how it is sorted, column by column.
const COLUMNS = [
  { key: "id", name: "Node", order: (a, b) => byText(a.node.id, b.node.id) },
  { key: "condition", name: "Condition", order: (a, b) => rankOf(conditionKey(a)) - rankOf(conditionKey(b)) },
  { key: "intended", name: "Intended", order: (a, b) => byText(intendedWords(a.state), intendedWords(b.state)) },
  { key: "current", name: "Current", order: (a, b) => byText(currentWords(a.state), currentWords(b.state)) },
  { key: "attempt", name: "Attempt", order: (a, b) => attemptSince(b.state) - attemptSince(a.state) },
  { key: "age", name: "Since", order: (a, b) => Date.parse(b.state.status_timestamp ?? 0) - Date.parse(a.state.status_timestamp ?? 0) },
  { key: "load", name: "Load", order: (a, b) => loadOf(a) - loadOf(b) },
];

const conditionKey = (entry) => model.conditions.get(entry.node.id)?.key ?? "unknown";
export const intendedWords = (state) => (state.intended_status === "UNKNOWN" ? "nothing yet" : statusWords(state.intended_status, state.poc_intended_status));
export const currentWords = (state) => statusWords(state.current_status, state.poc_current_status);

export function attemptWords(state, now) {
  const flight = state.reconcile_info;
  if (flight) return `#${flight.attempt} for ${shortly(now - Date.parse(flight.started_at))}`;
  const next = Date.parse(state.next_attempt_at ?? "");
  if (next > now) return `again in ${roughly(next - now)}`;
  return "";
}

export const ageWords = (state, now) => (state.status_timestamp ? shortly(now - Date.parse(state.status_timestamp)) : "");

class Row {
  constructor(grid) {
    this.link = el("a", { class: "id", tabindex: -1 });
    this.host = el("span", { class: "host" });
    this.words = el("span", { class: "words" });
    this.detail = el("span", { class: "detail" });
    this.shape = el("span", { class: "shape" });
    this.cells = Object.fromEntries(["intended", "current", "attempt", "age"].map((key) => [key, el("td", { role: "cell", class: key })]));
    this.bar = el("span", { class: "fill" });
    this.load = el("span", { class: "figure" });
    this.off = el("span", { class: "tag", text: "disabled" });
    this.element = el("tr", { role: "row" },
      el("th", { role: "rowheader", scope: "row", class: "node" }, this.link, this.off, this.host),
      el("td", { role: "cell", class: "condition" }, this.shape, el("span", { class: "both" }, this.words, this.detail)),
      this.cells.intended, this.cells.current, this.cells.attempt, this.cells.age,
      el("td", { role: "cell", class: "load" }, el("span", { class: "gauge", "aria-hidden": "true" }, this.bar), this.load));
    this.element.addEventListener("click", (event) => {
      if (!event.target.closest("a") && getSelection().isCollapsed) location.hash = nodeHref(this.id);
    });
    this.link.addEventListener("focus", () => grid.moved(this.index));
  }

  show(entry, index, now) {
    const { node, state } = entry, condition = model.conditions.get(node.id);
    if (this.index !== index && this.index !== undefined && document.activeElement === this.link) this.link.blur(); // it scrolled away
    this.id = node.id;
    this.index = index;
    setAttribute(this.element, "aria-rowindex", index + 2);
    setAttribute(this.element, "data-key", condition.key);
    setText(this.link, node.id);
    setAttribute(this.link, "href", nodeHref(node.id));
    setText(this.host, node.host);
    if (this.shown !== condition.key) this.shape.replaceChildren(glyph(condition.key, condition.tone));
    this.shown = condition.key;
    setText(this.words, condition.words);
    setText(this.detail, brief(condition.detail));
    setAttribute(this.detail, "title", condition.detail || null);
    this.off.hidden = state.admin_state?.enabled !== false || condition.key === "disabled";
    setText(this.cells.intended, intendedWords(state));
    setText(this.cells.current, currentWords(state));
    this.tick(state, now);
    setText(this.load, `${state.lock_count} / ${node.max_concurrent}`);
    this.bar.style.width = `${Math.min(100, 100 * loadOf(entry))}%`;
    this.element.classList.toggle("full", loadOf(entry) >= 1);
  }

  tick(state, now) {
    setText(this.cells.attempt, attemptWords(state, now));
    setText(this.cells.age, ageWords(state, now));
  }
}

export class Fleet {
  constructor() {
    this.sort = { key: "condition", isDown: false };
    this.filter = null; // a condition
    this.active = 0;    // the row that Tab comes to
    this.rows = [];
    this.list = [];
    this.advice = new Advice();
    this.search = el("input", { type: "search", id: "search", placeholder: "Search id, host or model", "aria-label": "Search the fleet", autocomplete: "off", on: { input: () => this.update() } });
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Only nodes in this condition" });
    this.found = el("p", { class: "found", role: "status" });
    this.before = el("tr", { class: "space", "aria-hidden": "true" });
    this.after = el("tr", { class: "space", "aria-hidden": "true" });
    this.body = el("tbody", { role: "rowgroup", on: { keydown: (event) => this.#key(event) } }, this.before, this.after);
    this.heads = COLUMNS.map((column) => el("th", { role: "columnheader", scope: "col", class: column.key },
      button(column.name, () => this.#sortBy(column.key))));
    this.table = el("table", { role: "table", class: "grid", "aria-label": "Nodes" },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row", "aria-rowindex": 1 }, this.heads)), this.body);
    byId("view-fleet").append(this.advice.box, el("section", { class: "card flush", "aria-label": "Fleet" },
      el("div", { class: "controls" }, this.chips, this.search), this.table, this.found));
    addEventListener("scroll", () => this.#draw(), { passive: true });
    addEventListener("resize", () => this.#draw(), { passive: true });
  }

  get isShown() {
    return !byId("view-fleet").hidden;
  }

  update(now = Date.now()) {
    if (!this.isShown) return;
    this.advice.update(now);
    const words = this.search.value.trim().toLowerCase();
    const isWanted = ({ node }) => words === "" || node.id.toLowerCase().includes(words) || node.host.toLowerCase().includes(words) ||
      Object.keys(node.models ?? {}).some((model_id) => model_id.toLowerCase().includes(words));
    const matching = [...model.entries.values()].filter(isWanted);
    this.#drawChips(matching);
    this.list = matching.filter((entry) => this.filter === null || conditionKey(entry) === this.filter);
    const column = COLUMNS.find(({ key }) => key === this.sort.key), sign = this.sort.isDown ? -1 : 1;
    this.list.sort((a, b) => sign * column.order(a, b) || byText(a.node.id, b.node.id));
    this.heads.forEach((head, i) => setAttribute(head, "aria-sort", COLUMNS[i].key === this.sort.key ? (this.sort.isDown ? "descending" : "ascending") : null));
    setAttribute(this.table, "aria-rowcount", this.list.length + 1);
    setText(this.found, this.#foundWords(words));
    this.#draw(now);
  }

  #foundWords(words) {
    if (model.entries.size === 0) return ["connecting", "denied"].includes(model.link.state) ? "" : "No node is registered.";
    if (this.list.length > 0) return this.list.length === model.entries.size ? "" : `${count(this.list.length, "node")} of ${model.entries.size.toLocaleString("en")}`;
    return `No node is ${this.filter ? CONDITIONS[this.filter].words.toLowerCase() : "here"}${words ? ` and has “${words}” in its id, host or models` : ""}.`;
  }

  tick(now) {
    if (!this.isShown) return;
    this.advice.update(now);
    for (const row of this.rows) {
      const entry = model.entries.get(row.id);
      if (entry && !row.element.hidden) row.tick(entry.state, now);
    }
  }

  #sortBy(key) {
    this.sort = { key, isDown: this.sort.key === key ? !this.sort.isDown : false };
    this.update();
  }

  #drawChips(list) {
    const counts = new Map();
    for (const entry of list) counts.set(conditionKey(entry), (counts.get(conditionKey(entry)) ?? 0) + 1);
    const present = Object.keys(CONDITIONS).filter((key) => counts.has(key) || key === this.filter);
    const drawn = JSON.stringify(present);
    if (drawn !== this.chipsDrawn) {
      this.chipsDrawn = drawn;
      const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      this.chipOf = new Map(present.map((key) => [key, el("button", { type: "button", class: "chip", "data-key": key,
        on: { click: () => this.#filterBy(key) } }, glyph(key, CONDITIONS[key].tone), el("b"), el("span", { text: CONDITIONS[key].words }))]));
      this.chips.replaceChildren(...this.chipOf.values());
      this.chipOf.get(focused)?.focus();
    }
    for (const [key, chip] of this.chipOf) {
      setText(chip.querySelector("b"), (counts.get(key) ?? 0).toLocaleString("en"));
      setAttribute(chip, "aria-pressed", String(key === this.filter));
    }
  }

  #filterBy(key) {
    this.filter = this.filter === key ? null : key;
    this.update();
  }

  // ---- the rows that can be seen ----

  #rowHeight() {
    return matchMedia("(max-width: 760px)").matches ? 68 : 52; // as in page.css
  }

  #draw(now = Date.now()) {
    if (!this.isShown) return;
    const height = this.#rowHeight(), top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - OVERSCAN);
    const last = Math.min(this.list.length, Math.ceil((innerHeight - top) / height) + OVERSCAN);
    const wanted = Math.max(0, last - first);
    while (this.rows.length < wanted) {
      const row = new Row(this);
      this.rows.push(row);
      this.after.before(row.element);
    }
    this.before.style.height = `${first * height}px`;
    this.after.style.height = `${Math.max(0, this.list.length - last) * height}px`;
    this.active = Math.max(0, Math.min(this.active, this.list.length - 1));
    this.rows.forEach((row, i) => {
      row.element.hidden = i >= wanted;
      if (i >= wanted) return;
      row.show(this.list[first + i], first + i, now);
      row.link.tabIndex = row.index === this.active || (i === OVERSCAN && (this.active < first || this.active >= last)) ? 0 : -1;
    });
  }

  moved(index) {
    this.active = index;
    for (const row of this.rows) row.link.tabIndex = row.index === index ? 0 : -1;
  }

  // Arrows, page keys, Home and End move from row to row.
  #key(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight()) - 2), end = this.list.length - 1;
    const to = { ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page, PageUp: this.active - page, Home: 0, End: end }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.active = Math.max(0, Math.min(end, to));
    this.#reveal();
    this.rows.find((row) => row.index === this.active && !row.element.hidden)?.link.focus({ preventScroll: true });
  }

  #reveal() {
    const height = this.#rowHeight(), y = this.body.getBoundingClientRect().top + this.active * height, head = 110;
    if (y < head) scrollBy({ top: y - head, behavior: "instant" });
    else if (y + height > innerHeight) scrollBy({ top: y + height - innerHeight + 8, behavior: "instant" });
    this.#draw();
  }
}
