// In which condition a node is, in one word, one shape and one sentence. Those that look alike in the API's fields but mean something
// else to people are told apart here: loading a model, waiting for a first PoC, and having failed.

import { statusWords } from "./words.js";

// In the order in which people want to see them: what needs somebody first.
export const CONDITIONS = {
  failed: { words: "Failed", tone: "bad" },
  retry: { words: "Trying again", tone: "warn" },
  unknown: { words: "Not known yet", tone: "warn" },
  changing: { words: "Changing", tone: "busy" },
  loading: { words: "Loading a model", tone: "busy" },
  waiting: { words: "Waiting for first PoC", tone: "wait" },
  generating: { words: "Generating", tone: "poc" },
  validating: { words: "Validating", tone: "poc2" },
  training: { words: "Training", tone: "poc" },
  serving: { words: "Serving", tone: "ok" },
  stopped: { words: "Stopped", tone: "off" },
  disabled: { words: "Disabled", tone: "off" },
};

const rank = new Map(Object.keys(CONDITIONS).map((key, i) => [key, i]));
export const rankOf = (key) => rank.get(key);

const TO = {
  STOPPED: "Stopping", TRAINING: "Starting to train", GENERATING: "Starting to generate", VALIDATING: "Starting to validate",
};

function inFlight(flight, state) {
  if (flight.cancelled) return ["changing", "Cancelling an attempt"];
  if (flight.status === "INFERENCE") {
    const isVerified = state.current_status === "INFERENCE";
    return isVerified ? ["changing", "Verifying"] : ["loading", "Loading a model"];
  }
  return ["changing", TO[flight.status === "POC" ? flight.poc_status : flight.status] ?? "Changing"];
}

// The epoch's data name the nodes that took part in its PoC. Without any data nothing can be said.
function hasFirstPocAhead(id, state, world) {
  if (!state.admin_state?.enabled || !world) return false;
  if (world.epoch === 0) return true;
  const models = world.epoch_models ?? {};
  return Object.keys(models).length > 0 && !Object.hasOwn(models, id);
}

function atRest(id, state, world) {
  const isEnabled = state.admin_state?.enabled !== false;
  switch (state.current_status) {
    case "INFERENCE":
      if (!isEnabled) return ["serving", "Serving until the epoch ends"];
      return hasFirstPocAhead(id, state, world) ? ["waiting", "Waiting for its first PoC"] : ["serving", "Serving"];
    case "POC": return state.poc_current_status === "VALIDATING" ? ["validating", "Validating"] : ["generating", "Generating"];
    case "TRAINING": return ["training", "Training"];
    case "STOPPED":
      if (!isEnabled) return ["disabled", "Disabled"];
      return world?.phase && world.phase !== "Inference" ? ["waiting", "Waiting for its first PoC"] : ["stopped", "Stopped"];
    default: return ["unknown", "Not known yet"];
  }
}

// {key, words, tone, detail}; detail: why, or "".
export function conditionOf(entry, world) {
  const { node, state } = entry;
  const made = ([key, words], detail = "") => ({ key, words, tone: CONDITIONS[key].tone, detail });
  const flight = state.reconcile_info;
  if (state.current_status === "FAILED") {
    return made(["failed", flight ? "Failed, trying again" : "Failed"], state.failure_reason || state.explain?.last_failure || "");
  }
  if (flight) return made(inFlight(flight, state), noteOf(flight));
  if (state.intended_status === "UNKNOWN") return made(["unknown", "Without a target"], state.explain?.doing);
  const isThere = state.intended_status === state.current_status && state.poc_intended_status === state.poc_current_status;
  if (isThere && state.explain?.settled !== false) return made(atRest(node.id, state, world));
  if (state.explain?.lease?.draining) return made(["changing", "Draining"], state.explain.doing);
  if (state.next_attempt_at) return made(["retry", "Trying again"], state.failure_reason || state.explain?.last_failure || "");
  if (!isThere) return made(["changing", `To be ${statusWords(state.intended_status, state.poc_intended_status).toLowerCase().replace("poc", "PoC")}`],
    state.explain?.doing);
  return made(["unknown", "To be verified"], state.explain?.doing);
}

export const noteOf = (flight) => (typeof flight.note === "string" ? flight.note : flight.note?.reason ?? "");

// Why nothing is sent to it; "" when something is.
export function whyNotEligible(state) {
  const lease = state.explain?.lease;
  return !lease || lease.eligible ? "" : lease.why;
}
