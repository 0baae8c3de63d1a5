// The phase bar: which part of the epoch this is, where in it the last block stands, and when the next one begins.

import { nextOf, partAt, partsOf } from "./blocks.js";
import { byId, el, setAttribute, setText } from "./dom.js";
import { model } from "./model.js";
import { count, duration, moment, phaseWords, roughly } from "./words.js";

const LEAST = 0.11; // of the bar's width for a part, however short: an epoch is mostly Inference

const SHORT = { PoCGenerate: "Generate", PoCGenerateWindDown: "wind down", PoCValidate: "Validate", PoCValidateWindDown: "wind down", Inference: "Inference" };

const BEGINS = {
  PoCGenerate: "PoC starts", PoCGenerateWindDown: "Generation winds down", PoCValidate: "Validation starts",
  PoCValidateWindDown: "Validation winds down", Inference: "Inference starts",
};

function widthsOf(parts) {
  const blocks = parts.reduce((sum, part) => sum + part.to - part.from, 0);
  const free = 1 - LEAST * parts.length;
  return parts.map((part) => LEAST + free * ((part.to - part.from) / blocks));
}

export class PhaseBar {
  constructor() {
    this.title = el("h1", { id: "phase-title" });
    this.next = el("p", { class: "next" });
    this.facts = el("dl", { class: "facts" });
    this.fact = {};
    for (const [key, name] of [["block", "Block"], ["epoch", "Epoch"], ["due", "Command due"], ["rate", "Block time"]]) {
      this.fact[key] = el("dd");
      this.facts.append(el("div", {}, el("dt", { text: name }), this.fact[key]));
    }
    this.track = el("ol", { class: "track", "aria-label": "Parts of this epoch; short ones are drawn wider than they are" });
    this.marker = el("div", { class: "marker", "aria-hidden": "true" });
    this.wrap = el("div", { class: "trackwrap" }, this.track, this.marker);
    byId("phase").append(el("div", { class: "phasehead" }, el("div", {}, this.title, this.next), this.facts), this.wrap);
    this.drawn = "";
  }

  update(now = Date.now()) {
    const world = model.world;
    if (!world || !Number.isFinite(world.height)) {
      setText(this.title, world ? "Waiting for the first block" : model.link.state === "denied" ? "Signed out" : "Asking the daemon…");
      setText(this.next, world ? "No attempt starts before it." : "");
      this.facts.hidden = this.wrap.hidden = true;
      return;
    }
    const parts = partsOf(world), next = nextOf(parts, world.height);
    setText(this.title, world.phase ? phaseWords(world.phase) : "Phase not known");
    setText(this.next, this.#nextWords(world, next, now));
    this.facts.hidden = false;
    setText(this.fact.block, world.height.toLocaleString("en"));
    setText(this.fact.epoch, world.epoch === undefined ? "not known" : String(world.epoch));
    setText(this.fact.due, world.command ?? "nothing");
    setText(this.fact.rate, model.blocks.ms() === null ? "measuring" : duration(model.blocks.ms()));
    this.wrap.hidden = parts.length === 0;
    this.#draw(parts, world.height);
  }

  #nextWords(world, next, now) {
    if (world.synced === false) return "The chain endpoint is catching up.";
    if (!next) return world.phase ? "" : "Neither the epoch nor its parameters have come yet.";
    const left = next.height - world.height, ms = model.blocks.until(next.height, now);
    const at = ms === null || ms < 90000 ? "" : ` (about ${moment(now + ms, false, now)})`;
    if (ms === null) return `${BEGINS[next.phase]} in ${count(left, "block")}`;
    return `${BEGINS[next.phase]} in ${roughly(ms)}${at} · ${count(left, "block")}`;
  }

  #draw(parts, height) {
    const key = JSON.stringify(parts);
    if (key !== this.drawn) {
      this.drawn = key;
      this.widths = widthsOf(parts);
      this.items = parts.map((part, i) => {
        const item = el("li", { class: `part ${part.phase}` }, el("span", { class: "name", text: SHORT[part.phase] ?? part.phase }),
          el("span", { class: "blocks", text: count(part.to - part.from, "block") }));
        item.style.flexGrow = String(this.widths[i]);
        return item;
      });
      this.track.replaceChildren(...this.items);
    }
    const part = partAt(parts, height), i = parts.indexOf(part);
    this.items.forEach((item, k) => {
      setAttribute(item, "aria-current", k === i ? "step" : null);
      item.classList.toggle("past", k < i);
    });
    this.marker.hidden = i < 0;
    if (i < 0) return;
    const before = this.widths.slice(0, i).reduce((sum, width) => sum + width, 0);
    this.marker.style.left = `${100 * (before + this.widths[i] * ((height - part.from) / (part.to - part.from)))}%`;
  }
}
