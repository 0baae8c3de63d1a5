// The journal as it grows: server-sent events over fetch, because an EventSource cannot carry a token. A cut stream is taken up again
// after the last record that came.

import { session, urlOf } from "./session.js";

const QUIET_MS = 40000; // the daemon says at least every 15 s that nothing is new
const RETRY_MS = [500, 10000];

// Cuts a text that comes in pieces into events: {id, event, data}.
export function makeParser(onEvent) {
  let rest = "", event = {};
  const line = (text) => {
    if (text === "") {
      if (event.data !== undefined) onEvent(event);
      event = {};
    } else if (!text.startsWith(":")) {
      const colon = text.indexOf(":");
      const key = colon < 0 ? text : text.slice(0, colon);
      const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
      event[key] = key === "data" && event.data !== undefined ? `${event.data}\n${value}` : value;
    }
  };
  return (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const text of lines) line(text.replace(/\r$/, ""));
  };
}

export class Stream {
  // handlers: record(record), open(wasCut: ms since the cut or null), cut(error), denied()
  constructor(handlers) {
    this.handlers = handlers;
    this.last = null; // the number of the last record that came
    this.failures = 0;
    this.cutAt = null;
    this.stopped = true;
  }

  start(since) {
    this.stop();
    if (this.last === null || since !== undefined) this.last = since ?? 0;
    this.stopped = false;
    this.#run();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  // Now, not after the pause: the machine woke up, or the network came back.
  hurry() {
    if (this.stopped || this.timer === undefined) return;
    clearTimeout(this.timer);
    this.#run();
  }

  async #run() {
    this.timer = undefined;
    const abort = (this.abort = new AbortController());
    let quiet;
    const heard = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => abort.abort(), QUIET_MS);
    };
    try {
      heard();
      await this.#read(abort.signal, heard);
      if (!abort.signal.aborted) throw new Error("the stream ended");
      throw new Error("the stream was silent");
    } catch (error) {
      if (this.stopped || abort !== this.abort) return;
      this.#again(error);
    } finally {
      clearTimeout(quiet);
    }
  }

  async #read(signal, heard) {
    const response = await fetch(urlOf("/v1/events"), {
      headers: { ...session.headers(), Accept: "text/event-stream", "Last-Event-ID": String(this.last) },
      cache: "no-store", credentials: "omit", redirect: "error", signal,
    });
    if (response.status === 401) {
      this.stopped = true;
      this.handlers.denied();
      return;
    }
    if (!response.ok) throw new Error(`the journal answered ${response.status}`);
    this.failures = 0;
    this.handlers.open(this.cutAt === null ? null : Date.now() - this.cutAt, this.last);
    this.cutAt = null;
    const parse = makeParser((event) => this.#take(event));
    const decoder = new TextDecoder();
    for (const reader = response.body.getReader(); ;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      parse(decoder.decode(value, { stream: true }));
    }
  }

  #take(event) {
    if (event.id !== undefined && /^\d+$/.test(event.id)) this.last = Number(event.id);
    let record;
    try {
      record = JSON.parse(event.data);
    } catch {
      return; // half a record of a daemon that was killed: the next stream brings it whole
    }
    this.handlers.record(record);
  }

  #again(error) {
    this.cutAt ??= Date.now();
    this.handlers.cut(error);
    const ms = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** this.failures++);
    this.timer = setTimeout(() => this.#run(), ms * (0.5 + Math.random() / 2));
  }
}
