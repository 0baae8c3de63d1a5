// One node in depth: what it should be and why, what was tried, why it gets no requests, its last day; and what can be done to it.

import { noteOf, whyNotEligible } from "./condition.js";
import { perform } from "./dialog.js";
import { byId, button, el, glyph, setText } from "./dom.js";
import { ageWords, currentWords, intendedWords } from "./fleet.js";
import { actions, model } from "./model.js";
import { pocHeight } from "./blocks.js";
import { Timeline } from "./timeline.js";
import { brief, count, duration, moment, outcomeWords, roughly, statusWords, targetWords } from "./words.js";

// Name and value of each fact that is there.
function facts(list) {
  return el("dl", { class: "list" }, list.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", {}, typeof value === "string" ? value : value))));
}

const card = (title, ...children) => el("section", { class: "card" }, el("h2", { text: title }), children);

function whyCard({ state }, now) {
  const explain = state.explain ?? {}, flight = state.reconcile_info;
  const ends = flight ? Date.parse(flight.deadline_at) : NaN;
  return card("What it should be, and why", facts([
    ["Intended", intendedWords(state)],
    ["Because", explain.reason],
    ["Current", `${currentWords(state)}${state.status_timestamp ? ` since ${moment(state.status_timestamp, true)} (${ageWords(state, now)})` : ""}`],
    ["Now", explain.doing],
    ["Attempt", flight ? `#${flight.attempt} to ${statusWords(flight.status, flight.poc_status)}, for ${roughly(now - Date.parse(flight.started_at))}` +
      `${ends > now ? `, at most another ${roughly(ends - now)}` : ""}${noteOf(flight) ? `: ${noteOf(flight)}` : ""}` : ""],
    ["Next try", Date.parse(state.next_attempt_at) > now ? `in ${roughly(Date.parse(state.next_attempt_at) - now)}` : ""],
    ["Failure", state.failure_reason ? el("span", { class: "fault", text: state.failure_reason }) : ""],
    ["Last failure", !state.failure_reason && explain.last_failure ? explain.last_failure : ""],
    ["Verified", explain.settled === false ? "no: what runs on it is not certain" : ""],
    ["Not answered", explain.unanswered ? `${explain.unanswered}, sent ${moment(explain.unanswered_at, true)}` : ""],
    ["Target", targetWords(explain.target)],
    ["Applied", JSON.stringify(explain.applied) === JSON.stringify(explain.target) ? "" : targetWords(explain.applied) || "nothing that is known of"],
  ]));
}

function leaseCard({ node, state }) {
  const why = whyNotEligible(state), lease = state.explain?.lease ?? {};
  return card("Requests", el("p", { class: `verdict ${why ? "" : "ok"}` }, glyph(why ? "disabled" : "serving", why ? "off" : "ok"),
    el("span", { text: why ? `Gets no requests: ${why.replace(": see its failure_reason", "")}.` : `Gets requests${lease.why && lease.why !== "it serves" ? `: ${lease.why}` : ""}.` })), facts([
    ["Leases", `${state.lock_count} of ${node.max_concurrent}`],
    ["Draining", lease.draining ? "its last requests are waited for" : ""],
    ["Models", Object.keys(node.models ?? {}).join(", ")],
    ["This epoch", Object.keys(state.epoch_models ?? {}).join(", ") || "no part of the epoch's data: its first PoC is still to come, or they are not known"],
  ]));
}

function administration(admin, now) {
  if (!admin) return "";
  const by = admin.actor ? ` by ${admin.actor}` : "";
  const until = admin.expires_at ? `, until ${admin.expires_at} (another ${roughly(Math.max(0, Date.parse(admin.expires_at) - now))})` : "";
  return `${admin.enabled ? "enabled" : "disabled"} as of epoch ${admin.epoch}${by}${until}${admin.reason ? `: ${admin.reason}` : ""}`;
}

function machineCard({ node, state }, now) {
  const hardware = (node.hardware ?? []).map((item) => `${item.count} × ${item.type}`).join(", ");
  return card("Machine", facts([
    ["Host", node.host],
    ["Ports", `inference ${node.inference_port}${node.inference_segment ?? ""}, PoC ${node.poc_port}${node.poc_segment ?? ""}`],
    ["Hardware", hardware],
    ["Driver", `${node.kind ?? "mlnode"}${node.version ? `, version ${node.version}` : ""}`],
    ["Number", `${node.node_num}; registration ${state.registration}, target ${state.generation}`],
    ["Last probe", state.checked_at ? `${roughly(now - Date.parse(state.checked_at))} ago` : "none yet"],
    ["Administration", administration(state.admin_state, now)],
  ]));
}

function attemptsCard({ state }) {
  const rows = (state.attempts ?? []).map((note) => el("tr", {},
    el("td", { text: `#${note.attempt}` }), el("td", { text: statusWords(note.status, note.poc_status) }),
    el("td", { class: note.outcome === "succeeded" ? "" : "fault", text: `${outcomeWords(note.outcome)}${note.outdated ? ", too late to count" : ""}` }),
    el("td", { text: moment(note.started_at, true) }), el("td", { class: "number", text: duration(note.duration_ms) }),
    el("td", { class: "error", text: brief(note.error ?? ""), title: note.error })));
  const heads = ["Attempt", "To", "Outcome", "Began", "Took", "Error"].map((text) => el("th", { scope: "col", text }));
  return card("Last attempts", rows.length === 0 ? el("p", { class: "hint", text: "None yet." })
    : el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Last attempts" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
}

export class NodeView {
  constructor() {
    this.id = null;
    this.timeline = new Timeline();
    this.title = el("h1", { id: "node-title", tabindex: -1 });
    this.badge = el("p", { class: "badge" });
    this.buttons = el("div", { class: "row actions", role: "group", "aria-label": "Actions" });
    this.left = el("div", { class: "stack" });
    this.right = el("div", { class: "stack" });
    this.cards = el("div", { class: "cards" }, this.left, this.right);
    this.missing = el("p", { class: "card", role: "status" });
    this.head = el("div", { class: "row between nodehead" }, el("div", {}, this.title, this.badge), this.buttons);
    byId("view-node").append(el("p", { class: "back" }, el("a", { href: "#/", text: "← Fleet" })), this.head, this.missing, this.cards, this.timeline.box);
    // The buttons stay the same elements, so that the focus stays on them.
    this.enable = button("Enable", () => this.#enable(), { class: "main" });
    this.disable = button("Drain and disable…", () => this.#disable());
    this.retry = button("Try again now", () => this.#retry());
    this.probe = button("Probe now", () => this.#probe());
    this.buttons.append(this.enable, this.disable, this.retry, this.probe);
  }

  show(id) {
    this.id = id;
    this.drawn = "";
    this.update();
    model.refresh(id);
    this.timeline.load(id);
    this.title.focus({ preventScroll: true });
  }

  hide() {
    this.id = null;
    this.timeline.begin(null);
  }

  record(record) {
    if (this.id !== null && this.timeline.add(record)) this.isStale = true;
  }

  update(now = Date.now()) {
    if (this.id === null) return;
    const entry = model.entries.get(this.id), condition = model.conditions.get(this.id);
    setText(this.title, this.id);
    const isKnown = entry !== undefined;
    this.missing.hidden = isKnown;
    if (!isKnown) setText(this.missing, model.link.state === "connecting" ? "Asking the daemon…" : `No node ${this.id} is registered.`);
    for (const part of [this.buttons, this.badge, this.cards]) part.hidden = !isKnown;
    if (!isKnown) return;
    this.enable.hidden = entry.state.admin_state?.enabled !== false;
    this.disable.hidden = !this.enable.hidden;
    const key = JSON.stringify([entry, condition, Math.floor(now / 1000)]);
    if (key === this.drawn || this.cards.contains(document.activeElement) || isSelecting(this.cards)) return;
    this.drawn = key;
    this.badge.replaceChildren(glyph(condition.key, condition.tone), el("span", { text: condition.words }),
      condition.detail ? el("span", { class: "detail", text: brief(condition.detail) }) : "");
    const scrolled = this.left.querySelector(".scroll")?.scrollLeft ?? 0;
    this.left.replaceChildren(whyCard(entry, now), attemptsCard(entry));
    this.right.replaceChildren(leaseCard(entry), machineCard(entry, now));
    if (scrolled > 0) this.left.querySelector(".scroll").scrollLeft = scrolled;
  }

  tick(now) {
    this.update(now);
    if (this.id !== null && (this.isStale || now - (this.timelineAt ?? 0) > 10000) && !isSelecting(this.timeline.box)) {
      this.isStale = false;
      this.timelineAt = now;
      this.timeline.draw(now);
    }
  }

  #enable() {
    const id = this.id;
    return this.#do({ title: `Enable ${id}?`, text: "It takes part again: at once outside of a PoC, else from the next one on.", action: "Enable", asksReason: true },
      (reason) => actions.setEnabled(id, true, reason), `${id} is enabled.`);
  }

  #disable() {
    const id = this.id, height = pocHeight(model.world), ms = height === null ? null : model.blocks.until(height);
    const when = height === null ? "" : ` The next PoC starts in ${ms === null ? count(height - model.world.height, "block") : roughly(ms)}.`;
    const leases = model.entries.get(id)?.state.lock_count ?? 0;
    return this.#do({
      title: `Drain and disable ${id}?`, tone: "danger", action: "Disable", asksReason: true,
      text: [`It goes on until the running epoch is over, then it is stopped, and it takes no part in PoC until it is enabled again.${when}`,
        leases > 0 ? `${count(leases, "request")} ${leases === 1 ? "runs" : "run"} on it now; new ones come until the epoch ends.` : "No request runs on it now."],
    }, (reason) => actions.setEnabled(id, false, reason), `${id} is disabled once the epoch is over.`);
  }

  #retry() {
    const id = this.id, flight = model.entries.get(id)?.state.reconcile_info;
    return this.#do(flight ? { title: `Begin anew with ${id}?`, text: `Attempt #${flight.attempt} is under way. It is cancelled and another one begins.`, action: "Begin anew" } : null,
      () => actions.reconcile(id), `${id} is looked at again.`);
  }

  #probe() {
    const id = this.id;
    return this.#do(null, () => actions.probe(id), `${id} is being probed.`);
  }

  async #do(question, act, done) {
    const id = this.id;
    if (!(await perform(question, act, done))) return;
    await model.refresh(id);
    const isLost = document.activeElement === document.body || document.activeElement?.hidden;
    if (this.id === id && isLost) (this.enable.hidden ? this.disable : this.enable).focus();
  }
}

// A text that is being copied is not written anew.
function isSelecting(element) {
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}
