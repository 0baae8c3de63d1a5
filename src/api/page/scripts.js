// The sets of scripts: which is live, what the one before had otherwise, load anew, go back, and what a reload would change.

import { difference } from "./diff.js";
import { perform } from "./dialog.js";
import { byId, button, el, glyph, setText } from "./dom.js";
import { nodeHref } from "./fleet.js";
import { model } from "./model.js";
import { ask } from "./session.js";
import { count, moment, sentence, targetWords } from "./words.js";

const short = (hash) => String(hash ?? "").slice(0, 12);

function faultItems(faults) {
  return el("ul", { class: "faults" }, faults.map((fault) => el("li", {}, fault.file ? el("code", { text: `${fault.file}${fault.line ? `:${fault.line}` : ""}` }) : null,
    " ", el("span", { text: fault.message ?? "" }))));
}

function diffOf(path, { live, previous }) {
  const lines = difference(previous ?? "", live ?? "");
  const what = previous === undefined ? "new" : live === undefined ? "gone" : `${lines.filter(({ sign }) => sign === "+").length} in, ${lines.filter(({ sign }) => sign === "-").length} out`;
  const classes = { "+": "in", "-": "out", "…": "skip", " ": "same" };
  return el("details", { class: "diff", open: true }, el("summary", {}, el("code", { text: path }), el("span", { class: "hint", text: ` ${what}` })),
    el("div", { class: "lines", tabindex: 0, role: "region", "aria-label": `Difference of ${path}` }, lines.map((line) => el("div", { class: classes[line.sign] },
      el("span", { class: "number", text: line.sign === "…" ? "" : String(line.after ?? line.before) }), el("span", { class: "sign", text: line.sign }), el("span", { class: "text", text: line.text })))));
}

export class Scripts {
  constructor() {
    this.words = el("p", { class: "card", role: "status" });
    this.live = el("dl", { class: "list" });
    this.rejected = el("div", { class: "rejected" });
    this.outcome = el("div", { class: "outcome", role: "status" });
    this.files = el("tbody");
    this.diffs = el("div");
    this.past = el("ol", { class: "records" });
    this.reload = button("Load anew…", () => this.#reload(), { class: "main" });
    this.rollback = button("Go back…", () => this.#rollback());
    this.plan = button("What would change?", () => this.#plan());
    const card = (title, ...children) => el("section", { class: "card" }, el("h2", { text: title }), children);
    this.parts = el("div", { class: "stack" },
      el("section", { class: "card" }, el("div", { class: "row between" }, el("h1", { text: "Scripts" }), el("div", { class: "row actions" }, this.plan, this.rollback, this.reload)),
        this.live, this.rejected, this.outcome),
      card("Difference to the generation before", this.diffs),
      card("Files", el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Files" }, el("table", { class: "plain" },
        el("thead", {}, el("tr", {}, ["File", "From", "Hash", "Bytes"].map((text) => el("th", { scope: "col", text })))), this.files))));
    byId("view-scripts").append(this.words, this.parts, card("What happened to them", this.past));
  }

  async show() {
    this.outcome.replaceChildren();
    this.parts.hidden = true;
    this.words.hidden = false;
    setText(this.words, "Asking the daemon…");
    this.#history();
    await this.refresh();
  }

  async refresh() {
    let scripts;
    try {
      scripts = await ask("GET", "/v1/scripts?difference=1");
    } catch (error) {
      this.parts.hidden = true;
      this.words.hidden = false;
      setText(this.words, error.status === 404 || error.status === 503
        ? `This daemon does not offer its scripts over the API (GET /v1/scripts answers ${error.status}). On its machine, SIGHUP or “coxswain reload” loads them anew.`
        : `The scripts could not be read: ${error.message}.`);
      return;
    }
    model.scripts = scripts; // for what is to be done, too
    this.words.hidden = true;
    this.parts.hidden = false;
    this.#draw(scripts);
  }

  #draw(scripts) {
    const fact = (name, value) => (value ? el("div", {}, el("dt", { text: name }), el("dd", { text: value })) : null);
    this.live.replaceChildren(...[
      fact("Live", `generation ${scripts.generation} · ${short(scripts.hash)}`),
      fact("Loaded", scripts.loaded_at ? moment(scripts.loaded_at, true) : ""),
      fact("Before", scripts.previous ? `generation ${scripts.previous.generation} · ${short(scripts.previous.hash)}` : ""),
      fact("Folders", (scripts.folders ?? []).join(", then ")),
      fact("Commands", (scripts.commands ?? []).map(nameOf).join(", ")),
      fact("Drivers", (scripts.drivers ?? []).map(nameOf).join(", ")),
      fact("Jobs", (scripts.jobs ?? []).map(nameOf).join(", ")),
    ].filter(Boolean));
    this.rollback.disabled = scripts.can_roll_back === false;
    const rejected = scripts.rejected;
    this.rejected.replaceChildren(...(rejected ? [el("p", { class: "verdict bad" }, glyph("failed", "bad"),
      el("span", { text: `Refused: ${short(rejected.hash)}. ${rejected.reason ?? ""}` })), faultItems(rejected.faults ?? [])] : []));
    this.files.replaceChildren(...(Array.isArray(scripts.files) ? scripts.files : []).map((file) => el("tr", {}, el("td", {}, el("code", { text: file.path })),
      el("td", { text: `${file.from ?? ""}${file.shadows?.length ? ` (instead of ${file.shadows.join(", ")})` : ""}` }), el("td", {}, el("code", { text: short(file.hash) })), el("td", { class: "number", text: String(file.size ?? "") }))));
    const differing = scripts.difference?.files ?? (Array.isArray(scripts.files) ? {} : scripts.files) ?? {};
    const paths = Object.keys(differing).sort();
    this.diffs.replaceChildren(...(paths.length > 0 ? paths.map((path) => diffOf(path, differing[path])) : [el("p", { class: "hint", text: scripts.previous ? "None." : "There is no generation before this one." })]));
  }

  async #history() {
    try {
      const page = await ask("GET", "/v1/events?format=json&since=0&max=5000&kind=reload");
      const records = page.events.slice(-50).reverse();
      this.past.replaceChildren(...(records.length > 0 ? records.map((record) => el("li", {}, el("time", { datetime: record.time, text: moment(record.time, true) }), el("span", { text: sentence(record) })))
        : [el("li", { class: "hint", text: "Nothing since the journal began." })]));
    } catch {
      this.past.replaceChildren(el("li", { class: "hint", text: "The journal could not be read." }));
    }
  }

  // Faults stay on the page; a notice would be gone before they are read.
  async #run(question, act, done) {
    let failure = null;
    await perform(question, async () => {
      try {
        return await act();
      } catch (error) {
        failure = error;
        throw error;
      }
    }, done);
    if (failure) this.outcome.replaceChildren(el("p", { class: "verdict bad" }, glyph("failed", "bad"), el("span", { text: failure.message })), faultItems(failure.faults));
    else await this.refresh();
    this.#history();
  }

  #reload() {
    this.outcome.replaceChildren();
    return this.#run({ title: "Load the scripts anew?", text: "They are read, checked and tried on the fleet first. If anything is wrong with them, the live ones go on.", action: "Load anew" },
      () => ask("POST", "/v1/scripts/reload"),
      (result) => (result.status === "unchanged" ? `Unchanged: generation ${result.generation} goes on.` : `Generation ${result.generation} is live.`));
  }

  #rollback() {
    this.outcome.replaceChildren();
    const to = model.scripts?.previous?.generation;
    return this.#run({ title: to ? `Go back to generation ${to}?` : "Go back to the scripts before?", tone: "danger", action: "Go back",
      text: "The scripts that are live now are remembered as rejected: only an explicit reload loads them again." },
      () => ask("POST", "/v1/scripts/rollback"), (result) => `Generation ${result.generation} is live.`);
  }

  async #plan() {
    this.plan.disabled = true;
    try {
      this.#drawPlan(await ask("POST", "/v1/scripts/plan", {}));
    } catch (error) {
      this.outcome.replaceChildren(el("p", { class: "verdict bad" }, glyph("failed", "bad"), el("span", { text: error.message })), faultItems(error.faults));
    }
    this.plan.disabled = false;
  }

  #drawPlan({ changes = [] }) {
    if (changes.length === 0) {
      this.outcome.replaceChildren(el("p", { class: "verdict ok" }, glyph("serving", "ok"), el("span", { text: "A reload would change no node's target." })));
      return;
    }
    const rows = changes.slice(0, 200).map((change) => el("tr", {}, el("td", {}, el("a", { href: nodeHref(change.node_id), text: change.node_id })),
      el("td", { text: targetWords(change.from) }), el("td", { text: targetWords(change.to) }), el("td", { text: change.reason ?? "" })));
    this.outcome.replaceChildren(el("p", { class: "verdict", text: `A reload would change ${count(changes.length, "target")}:` }),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Plan" }, el("table", { class: "plain" },
        el("thead", {}, el("tr", {}, ["Node", "From", "To", "Because"].map((text) => el("th", { scope: "col", text })))), el("tbody", {}, rows))));
  }
}

const nameOf = (item) => (typeof item === "object" ? item.name ?? "" : String(item));
