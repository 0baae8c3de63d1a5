// Where it begins: which view is shown, what is drawn when, the theme, and the token.

import { storeWords } from "./advice.js";
import { login } from "./dialog.js";
import { byId, setAttribute, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Journal } from "./journal.js";
import { model } from "./model.js";
import { NodeView } from "./node.js";
import { PhaseBar } from "./phasebar.js";
import { Scripts } from "./scripts.js";
import { ask, session } from "./session.js";
import { moment } from "./words.js";

const phaseBar = new PhaseBar(), fleet = new Fleet(), nodeView = new NodeView(), journal = new Journal(), scripts = new Scripts();

// ---- which view ----

function route() {
  const [, view = "", id = ""] = location.hash.slice(1).split("/");
  if (view === "nodes" && id !== "") return { view: "node", id: decoded(id) };
  return { view: ["journal", "scripts"].includes(view) ? view : "fleet" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show(isFirst = false) {
  const { view, id } = route();
  for (const name of ["fleet", "node", "journal", "scripts"]) byId(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) setAttribute(link, "aria-current", link.dataset.view === (view === "node" ? "fleet" : view) ? "page" : null);
  document.title = `${{ fleet: "Fleet", node: id, journal: "Journal", scripts: "Scripts" }[view]} · Coxswain`;
  nodeView.hide();
  if (!isFirst) {
    scrollTo({ top: 0, behavior: "instant" });
    byId("main").focus({ preventScroll: true });
  }
  if (view === "node") nodeView.show(id);
  if (view === "journal") journal.show();
  if (view === "scripts") scripts.show();
  draw();
}

// ---- what is drawn: at most once per frame, and the clocks once a second ----

let isDue = false;

function draw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    const now = Date.now();
    drawLink(now);
    drawStore(now);
    phaseBar.update(now);
    fleet.update(now);
    nodeView.update(now);
    journal.flush();
  });
}

function drawLink(now) {
  const link = byId("link"), { state, since } = model.link;
  const words = { connecting: "connecting", live: "live", denied: "signed out" }[state] ?? `no connection since ${moment(since, true, now)}`;
  setText(link, words);
  setAttribute(link, "data-state", state);
  byId("leave").hidden = !session.token;
}

// On the fleet's view it is among what is to be done.
function drawStore(now) {
  const line = byId("store"), { title, next } = storeWords(model.store, now);
  if (model.store.isDegraded) setText(line, `${title} ${next}`);
  line.hidden = !model.store.isDegraded || route().view === "fleet";
}

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  phaseBar.update(now);
  fleet.tick(now);
  nodeView.tick(now);
}

// ---- the token ----

function askForToken() {
  if (document.querySelector("#token")) return;
  model.stop();
  model.link = { state: "denied", since: Date.now(), error: "" };
  draw();
  login(async (token) => {
    session.enter(token);
    try {
      session.isTrying = true;
      await ask("GET", "/v1/world");
    } catch (error) {
      session.enter(null);
      return error.status === 401 ? "The daemon does not know this token." : `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    } finally {
      session.isTrying = false;
    }
    model.link = { state: "connecting", since: Date.now(), error: "" };
    model.start();
    show();
    return null;
  });
}

session.onDenied = () => {
  if (!session.isTrying) askForToken();
};

// ---- the theme ----

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
  setText(byId("theme"), `Theme: ${theme}`);
  try {
    localStorage.setItem("coxswain.theme", theme);
  } catch { /* a browser that keeps nothing */ }
}

function begin() {
  const kept = localStorage.getItem("coxswain.theme");
  setTheme(THEMES.includes(kept) ? kept : "auto");
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "auto";
    setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });
  byId("leave").addEventListener("click", () => {
    session.enter(null);
    location.reload();
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash says which view is shown
    byId("main").focus();
  });
  for (const what of ["world", "nodes", "link", "store"]) model.addEventListener(what, draw);
  model.addEventListener("journal", () => {
    const record = model.journal[model.journal.length - 1];
    nodeView.record(record);
    journal.record(record);
    scripts.record(record);
    draw();
  });
  addEventListener("hashchange", () => show());
  addEventListener("online", () => model.stream.hurry());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && model.isRunning) model.wake();
  });
  setInterval(tick, 1000);
  show(true);
  model.start();
}

begin();
