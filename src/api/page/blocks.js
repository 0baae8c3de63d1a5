// Blocks and phases: how long a block takes, which part of the epoch this is, when the next one begins. The world (GET /v1/world) says
// heights; time is estimated from the blocks that were seen.

const SEEN_MAX = 60; // blocks that the estimate looks back on

export class Blocks {
  constructor() {
    this.seen = []; // {height, at: ms}
    this.cameAt = null; // when the newest block was seen first, on our clock
  }

  observe(world, now = Date.now()) {
    const height = world?.height;
    if (!Number.isFinite(height)) return;
    const last = this.seen[this.seen.length - 1];
    if (last && height < last.height) this.seen = []; // another chain
    else if (last && height === last.height) return;
    // The block's own time, when there is one: what we see of it is late by up to one look.
    const own = world.time ? Date.parse(world.time) : NaN;
    this.cameAt = now;
    // When the first one came nobody saw.
    const clock = !Number.isNaN(own) ? "own" : last ? "ours" : "none";
    this.seen.push({ height, at: clock === "own" ? own : now, clock });
    if (this.seen.length > SEEN_MAX) this.seen.shift();
  }

  // Milliseconds for a block; null: not known yet.
  ms() {
    const last = this.seen[this.seen.length - 1];
    const first = this.seen.find((block) => block.clock === last.clock);
    if (!last || last.clock === "none" || first === last) return null;
    const ms = (last.at - first.at) / (last.height - first.height);
    return ms > 0 ? ms : null;
  }

  // Milliseconds until that height; null: not known.
  until(height, now = Date.now()) {
    const ms = this.ms(), last = this.seen[this.seen.length - 1];
    if (ms === null || !Number.isFinite(height)) return null;
    const since = Math.min(now - this.cameAt, ms); // a block that is late does not bring the next phase nearer
    return Math.max(0, (height - last.height) * ms - since);
  }

  silentMs(now = Date.now()) {
    return this.cameAt === null ? null : now - this.cameAt;
  }
}

// The parts of this epoch in order: [{phase, from, to}], heights from inclusive, to exclusive. Empty: nothing is known.
export function partsOf(world) {
  const stages = world?.stages;
  const height = world?.height;
  if (!stages || !Number.isFinite(height)) return [];
  const start = stages.poc_start;
  const next = stages.next_poc_start;
  const isBefore = !world.epoch || !Number.isFinite(start) || height < start;
  if (isBefore) {
    const to = Number.isFinite(start) && start > height ? start : next;
    return Number.isFinite(to) ? [{ phase: "Inference", from: Math.min(height, start ?? world.poc_start_height ?? height), to }] : [];
  }
  const ends = [start, stages.poc_generation_wind_down, stages.poc_validation_start, stages.poc_validation_wind_down, stages.poc_validation_end, next];
  const phases = ["PoCGenerate", "PoCGenerateWindDown", "PoCValidate", "PoCValidateWindDown", "Inference"];
  return phases.map((phase, i) => ({ phase, from: ends[i], to: ends[i + 1] }))
    .filter((part) => Number.isFinite(part.from) && Number.isFinite(part.to) && part.to > part.from);
}

export const partAt = (parts, height) => parts.find((part) => height >= part.from && height < part.to);

// What comes after this part: {phase, height}, or null. After the last part of an epoch a PoC begins.
export function nextOf(parts, height) {
  const i = parts.findIndex((part) => height >= part.from && height < part.to);
  if (i < 0) return null;
  return { phase: parts[i + 1]?.phase ?? "PoCGenerate", height: parts[i].to };
}

// The height at which the next PoC begins; null: one is under way, or it is not known.
export function pocHeight(world) {
  const { stages, height, phase } = world ?? {};
  if (!stages || phase !== "Inference") return null;
  if (stages.poc_start > height) return stages.poc_start;
  return stages.next_poc_start > height ? stages.next_poc_start : null;
}
