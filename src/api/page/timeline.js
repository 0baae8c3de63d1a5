// The last day of one node, from the journal: what was intended, what it was, and each attempt.

import { el, setText } from "./dom.js";
import { ask } from "./session.js";
import { duration, moment, outcomeWords, sentence, statusWords } from "./words.js";

const DAY_MS = 24 * 3600000;
const PAGE = 1000;
const RECORDS_MAX = 4000; // of one node's day; more are told as missing

const RANGES = [[10 * 60000, "10 min"], [3600000, "hour"], [6 * 3600000, "6 hours"], [DAY_MS, "day"]];

// ---- what happened ----

async function firstAfter(seq) {
  const page = await ask("GET", `/v1/events?format=json&since=${seq}&max=1`);
  return { record: page.events[0], last: page.last };
}

// The number before the first record of that time or later: records are in order of time, so halving finds it.
export async function numberAt(ms) {
  let { record, last } = await firstAfter(0);
  if (!record || Date.parse(record.time) >= ms) return 0;
  let low = record.seq, high = last;
  while (high - low > 64) {
    const middle = Math.floor((low + high) / 2);
    ({ record } = await firstAfter(middle));
    if (!record || Date.parse(record.time) >= ms) high = middle;
    else low = Math.max(middle, record.seq);
  }
  return low;
}

// {records, gaps: [{from, to}], isCut}: the records of a node since that time.
export async function recordsOf(id, sinceMs) {
  const records = [], gaps = [];
  let since = await numberAt(sinceMs), last = since + 1;
  while (since < last && records.length < RECORDS_MAX) {
    const page = await ask("GET", `/v1/events?format=json&since=${since}&max=${PAGE}&node=${encodeURIComponent(id)}`);
    records.push(...page.events);
    if (page.gap) gaps.push(page.gap);
    if (page.next <= since) break;
    since = page.next;
    last = page.last;
  }
  return { records: records.filter((record) => Date.parse(record.time) >= sinceMs), gaps, isCut: records.length >= RECORDS_MAX };
}

// ---- as spans of time ----

const keyOf = (status, poc) => (status === "POC" ? `POC-${poc}` : status);

// [{from, to, status, poc}]; `now` closes the last one.
function spansOf(records, begin, now, read) {
  const spans = [];
  for (const record of records) {
    const { before, after } = read(record);
    const at = Date.parse(record.time), last = spans[spans.length - 1];
    if (last) last.to = at;
    else if (before) spans.push({ from: begin, to: at, ...before });
    if (after) spans.push({ from: at, to: now, ...after });
  }
  return spans;
}

const currentSpans = (records, begin, now) => spansOf(records.filter(({ kind }) => kind === "status"), begin, now, (record) => ({
  before: record.from === "UNKNOWN" ? null : { status: record.from, poc: record.poc_from }, after: { status: record.to, poc: record.poc_to },
}));

const intendedSpans = (records, begin, now) => spansOf(records.filter(({ kind }) => kind === "target"), begin, now, (record) => ({
  before: null, after: record.target ? { status: record.target.status, poc: record.target.poc ?? "IDLE" } : null,
}));

// ---- drawn ----

function place(element, from, to, begin, end) {
  const left = Math.max(0, (from - begin) / (end - begin)), right = Math.min(1, (to - begin) / (end - begin));
  element.style.left = `${100 * left}%`;
  element.style.width = `${100 * Math.max(0, right - left)}%`;
  return right - left;
}

function laneOf(name, marks) {
  return el("div", { class: "lane" }, el("span", { class: "lanename", text: name }), el("div", { class: "lanetrack" }, marks));
}

function spanMarks(spans, begin, end) {
  return spans.filter((span) => span.to > begin).map((span) => {
    const words = statusWords(span.status, span.poc);
    const mark = el("span", { class: `span s-${keyOf(span.status, span.poc)}`, title: `${words}, ${moment(span.from, true)} to ${moment(span.to, true)} (${duration(span.to - span.from)})` });
    if (place(mark, span.from, span.to, begin, end) > 0.09) mark.textContent = words;
    return mark;
  });
}

function attemptMarks(records, begin, end) {
  return records.filter(({ kind, time }) => kind === "attempt" && Date.parse(time) > begin).map((record) => {
    const to = Date.parse(record.time), isGood = record.outcome === "succeeded";
    const mark = el("span", { class: `try ${isGood ? "good" : record.outcome === "cancelled" ? "cancelled" : "bad"}`, title: sentence(record), text: isGood ? "" : "×" });
    place(mark, to - record.duration_ms, to, begin, end);
    return mark;
  });
}

function axis(begin, end) {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const tick = el("span", { class: "tick", text: part === 1 ? "now" : moment(begin + part * (end - begin), end - begin <= 3600000) });
    tick.style.left = `${100 * part}%`;
    return tick;
  });
  return el("div", { class: "axis", "aria-hidden": "true" }, ticks);
}

export class Timeline {
  constructor() {
    this.range = null; // null: the shortest that shows all there is
    this.choices = RANGES.map(([ms, name]) => el("button", { type: "button", class: "choice", text: name, on: { click: () => { this.range = ms; this.draw(); } } }));
    this.lanes = el("div", { class: "lanes" });
    this.gaps = el("p", { class: "hint" });
    this.listing = el("ol", { class: "records" });
    this.more = el("button", { type: "button", class: "quiet", text: "Show all", on: { click: () => { this.shown = Infinity; this.draw(); } } });
    this.box = el("section", { class: "card", "aria-labelledby": "timeline-title" },
      el("div", { class: "row between" }, el("h2", { id: "timeline-title", text: "Its last day" }), el("div", { class: "choices", role: "group", "aria-label": "How far back" }, this.choices)),
      this.lanes, this.gaps, this.listing, this.more);
    this.begin(null);
  }

  begin(id) {
    this.id = id;
    this.records = [];
    this.range = null;
    this.shown = 30;
    this.lanes.replaceChildren();
    this.listing.replaceChildren();
    this.more.hidden = true;
    setText(this.gaps, "Reading the journal…");
  }

  async load(id) {
    this.begin(id);
    try {
      const { records, gaps, isCut } = await recordsOf(id, Date.now() - DAY_MS);
      if (this.id !== id) return;
      const known = new Set(records.map(({ seq }) => seq));
      this.records = [...records, ...this.records.filter(({ seq }) => !known.has(seq))];
      const parts = gaps.map((gap) => `records ${gap.from} to ${gap.to} are not kept any more`);
      if (isCut) parts.push(`only the first ${RECORDS_MAX} records of the day are shown`);
      setText(this.gaps, parts.length > 0 ? `Not whole: ${parts.join("; ")}.` : "");
    } catch (error) {
      if (this.id === id) setText(this.gaps, `The journal could not be read: ${error.message}.`);
    }
    this.draw();
  }

  add(record) {
    if (record.node_id !== this.id || this.records.some(({ seq }) => seq === record.seq)) return false;
    this.records.push(record);
    return true;
  }

  draw(now = Date.now()) {
    if (this.id === null) return;
    const first = this.records.length > 0 ? Date.parse(this.records[0].time) : now;
    const range = this.range ?? (RANGES.find(([ms]) => now - first <= ms) ?? RANGES[RANGES.length - 1])[0];
    const begin = now - range;
    this.choices.forEach((choice, i) => choice.setAttribute("aria-pressed", String(RANGES[i][0] === range)));
    this.lanes.replaceChildren(
      laneOf("Intended", spanMarks(intendedSpans(this.records, begin, now), begin, now)),
      laneOf("Current", spanMarks(currentSpans(this.records, begin, now), begin, now)),
      laneOf("Attempts", attemptMarks(this.records, begin, now)), axis(begin, now));
    const recent = this.records.filter((record) => Date.parse(record.time) >= begin).reverse();
    this.listing.replaceChildren(...recent.slice(0, this.shown).map((record) => el("li", { class: toneOf(record) },
      el("time", { datetime: record.time, text: moment(record.time, true) }), el("span", { text: sentence(record) }))));
    this.more.hidden = recent.length <= this.shown;
  }
}

// For the eye; the words say it too.
export function toneOf(record) {
  if (record.kind === "attempt") return outcomeWords(record.outcome).startsWith("failed") ? "bad" : "";
  if (record.kind === "status") return record.to === "FAILED" ? "bad" : "";
  if (record.kind === "store") return record.state === "degraded" ? "bad" : "";
  if (record.kind === "command") return record.outcome === "error" ? "bad" : "";
  if (record.kind === "reload") return record.outcome === "done" ? "" : "bad";
  return record.kind === "gap" || record.kind === "cut" ? "mark" : "";
}
