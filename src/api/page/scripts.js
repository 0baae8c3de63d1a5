// The sets of scripts: which is live, what the one before had otherwise, load anew, go back, and what a reload would change.

import { difference } from "./diff.js";
import { confirmed, notice } from "./dialog.js";
import { byId, button, el, glyph, setText } from "./dom.js";
import { nodeHref } from "./fleet.js";
import { model } from "./model.js";
import { ask } from "./session.js";
import { toneOf } from "./timeline.js";
import { count, moment, sentence, targetWords } from "./words.js";

const short = (hash) => String(hash ?? "").slice(0, 12);

function faultItems(faults) {
  return el("ul", { class: "faults" }, faults.map((fault) => el("li", {}, fault.file ? el("code", { text: `${fault.file}${fault.line ? `:${fault.line}` : ""}: ` }) : null,
    el("span", { text: fault.message ?? "" }))));
}

function diffOf(path, { live, previous }) {
  const lines = difference(previous ?? "", live ?? "");
  const what = previous === undefined ? "new" : live === undefined ? "gone" : `${lines.filter(({ sign }) => sign === "+").length} added, ${lines.filter(({ sign }) => sign === "-").length} removed`;
  const classes = { "+": "in", "-": "out", "…": "skip", " ": "same" };
  return el("details", { class: "diff", open: true }, el("summary", {}, el("code", { text: path }), el("span", { class: "hint", text: ` ${what}` })),
    el("div", { class: "lines", tabindex: 0, role: "region", "aria-label": `Difference of ${path}` }, lines.map((line) => el("div", { class: classes[line.sign] },
      el("span", { class: "number", text: line.sign === "…" ? "" : String(line.after ?? line.before) }), el("span", { class: "sign", text: line.sign }), el("span", { class: "text", text: line.text })))));
}

// What was refused, as people look for it: FILE:LINE, each fault in a line. What has no faults has its reason in words.
function refusal(title, faults, reason) {
  const hasFaults = faults?.length > 0;
  const verdict = el("p", { class: "verdict" }, glyph(hasFaults ? "failed" : "warn", hasFaults ? "bad" : "warn"), el("span", { text: hasFaults ? title : reason }));
  return hasFaults ? [verdict, faultItems(faults)] : [verdict];
}

// "1 file from /own, 24 from /usr/share/…", in the order in which they are looked at.
function originWords({ files = [], folders = [] }) {
  const counts = folders.map((folder) => [folder, files.filter((file) => file.from === folder).length]);
  return counts.map(([folder, number], i) => `${i === 0 ? count(number, "file") : number} from ${folder}`).join(", ");
}

function fileRow(file) {
  const instead = file.shadows?.length ? el("span", { class: "hint", text: `instead of the one in ${file.shadows.join(", ")}` }) : null;
  return el("tr", { class: instead ? "own" : null }, el("td", {}, el("code", { text: file.path })), el("td", { class: "from" }, el("span", { text: file.from ?? "" }), instead),
    el("td", { class: "hash" }, el("code", { text: short(file.hash) })), el("td", { class: "number", text: String(file.size ?? "") }));
}

export class Scripts {
  #known = new Map(); // number → record of kind reload
  #isDue = false;

  constructor() {
    this.words = el("p", { class: "card", role: "status" });
    this.live = el("dl", { class: "list" });
    this.rejected = el("div", { class: "rejected" });
    this.outcome = el("div", { class: "outcome", role: "status" });
    this.files = el("tbody");
    this.origins = el("p", { class: "hint" });
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
      card("Files", this.origins, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Files" }, el("table", { class: "plain files" },
        el("thead", {}, el("tr", {}, ["File", "From", "Hash", "Bytes"].map((text) => el("th", { scope: "col", class: { Hash: "hash", Bytes: "number" }[text], text })))), this.files))));
    byId("view-scripts").append(this.words, this.parts, card("What happened to them", this.past));
  }

  get isShown() {
    return !byId("view-scripts").hidden;
  }

  // A record of the journal: somebody else's reload, or the watch over the folders, is seen like one's own.
  record(record) {
    if (record?.kind !== "reload") return;
    this.#known.set(record.seq, record);
    if (!this.isShown || this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => { // several come at once when the stream is taken up again
      this.#isDue = false;
      this.#drawHistory();
      this.refresh();
    }, 50);
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
    const turn = (this.turn = (this.turn ?? 0) + 1);
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
    if (turn !== this.turn) return; // asked again meanwhile
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
    if (!scripts.can_roll_back && document.activeElement === this.rollback) this.reload.focus(); // it was pressed just now
    this.rollback.disabled = !scripts.can_roll_back;
    const rejected = scripts.rejected;
    this.rejected.replaceChildren(...(rejected ? refusal(`The scripts on disk (${short(rejected.hash)}) were refused: generation ${scripts.generation} goes on.`,
      rejected.faults, `The scripts on disk (${short(rejected.hash)}) are not live: ${rejected.reason}. Only “Load anew” loads them again.`) : []));
    setText(this.origins, originWords(scripts));
    this.files.replaceChildren(...scripts.files.map(fileRow));
    this.files.parentElement.classList.toggle("single", (scripts.folders ?? []).length < 2); // where all are from stands above
    const differing = scripts.difference?.files ?? {};
    const paths = Object.keys(differing).sort();
    this.diffs.replaceChildren(...(paths.length > 0 ? paths.map((path) => diffOf(path, differing[path])) : [el("p", { class: "hint", text: scripts.previous ? "None." : "There is no generation before this one." })]));
  }

  async #history() {
    try {
      const page = await ask("GET", "/v1/events?format=json&since=0&max=5000&kind=reload");
      for (const record of page.events) this.#known.set(record.seq, record);
      this.#drawHistory();
    } catch {
      this.past.replaceChildren(el("li", { class: "hint", text: "The journal could not be read." }));
    }
  }

  #drawHistory() {
    const records = [...this.#known.values()].sort((a, b) => b.seq - a.seq).slice(0, 50);
    this.past.replaceChildren(...(records.length > 0 ? records.map((record) => el("li", { class: toneOf(record) },
      el("time", { datetime: record.time, text: moment(record.time, true) }), el("span", { text: sentence(record) })))
      : [el("li", { class: "hint", text: "Nothing since the journal began." })]));
  }

  // Faults stay on the page; a notice would be gone before they are read.
  async #run(question, act, done) {
    if ((await confirmed(question)) === null) return;
    this.outcome.replaceChildren();
    try {
      notice(done(await act()));
    } catch (error) {
      this.#refused("Refused: the live scripts go on.", error);
      notice("Refused: the live scripts go on.", "bad");
    }
    await this.refresh();
    if (model.scripts?.rejected?.faults?.length > 0) this.outcome.replaceChildren(); // the same faults, said above
  }

  #refused(title, { message, faults }) {
    this.outcome.replaceChildren(...refusal(title, faults, `${message[0].toUpperCase()}${message.slice(1)}.`));
  }

  #reload() {
    return this.#run({ title: "Load the scripts anew?", text: "They are read, checked and tried on the fleet first. If anything is wrong with them, the live ones go on.", action: "Load anew" },
      () => ask("POST", "/v1/scripts/reload"),
      (result) => (result.status === "unchanged" ? `Unchanged: generation ${result.generation} goes on.` : `Generation ${result.generation} is live.`));
  }

  #rollback() {
    const to = model.scripts?.previous?.generation;
    return this.#run({ title: to ? `Go back to generation ${to}?` : "Go back to the scripts before?", tone: "danger", action: "Go back",
      text: "The scripts that are live now are remembered as rejected: only an explicit reload loads them again." },
      () => ask("POST", "/v1/scripts/rollback"), (result) => `Generation ${result.generation} is live.`);
  }

  async #plan() {
    if (this.isPlanning) return; // a disabled button would lose the focus
    this.isPlanning = true;
    this.outcome.replaceChildren(el("p", { class: "hint", text: "Trying the scripts on disk on the fleet as it is…" }));
    try {
      this.#drawPlan(await ask("POST", "/v1/scripts/plan", {}));
    } catch (error) {
      this.#refused("The scripts on disk have faults: a reload would be refused.", error);
    }
    this.isPlanning = false;
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
