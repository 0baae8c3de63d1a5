// Questions to the user (native dialogs: the browser keeps the focus inside and closes them by Escape) and short notices.

import { button, byId, el, glyph } from "./dom.js";

const NOTICE_MS = 6000;
const NOTICES_MAX = 4;

export function notice(text, tone = "ok") {
  const box = el("p", { class: `notice ${tone}` }, glyph(tone === "ok" ? "serving" : "failed", tone), el("span", { text }));
  const all = byId("notices");
  while (all.childElementCount >= NOTICES_MAX) all.firstElementChild.remove();
  all.append(box);
  setTimeout(() => box.remove(), tone === "ok" ? NOTICE_MS : 2 * NOTICE_MS);
}

function open(form, isLasting = false) {
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  if (isLasting) dialog.addEventListener("close", () => dialog.isConnected && dialog.showModal());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Asks before something is done. Gives {reason} or null.
export function confirmed({ title, text, action, tone = "", asksReason = false }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const reason = asksReason ? el("input", { id: "dialog-reason", maxlength: 200, autocomplete: "off", placeholder: "for the journal; may be left out" }) : null;
    const form = el("form", { method: "dialog" },
      el("h2", { id: "dialog-title", text: title }),
      [text].flat().map((line) => el("p", { text: line })),
      reason ? el("label", { for: "dialog-reason" }, "Reason", reason) : null,
      el("div", { class: "row end" },
        button("Cancel", () => dialog.close(), { class: "quiet" }),
        el("button", { type: "submit", class: tone || "main", text: action, autofocus: !asksReason })));
    let answer = null;
    const dialog = open(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = { reason: reason?.value.trim() ?? "" };
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(answer);
    });
  });
}

// Asks for a token until `enter(token)` gives null instead of what is wrong with it.
export function login(enter) {
  const fault = el("p", { class: "fault", role: "alert" });
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", autofocus: true });
  const submit = el("button", { type: "submit", class: "main", text: "Sign in" });
  const form = el("form", { method: "dialog" },
    el("h2", { id: "dialog-title", text: "This daemon asks for a token" }),
    el("p", { text: "One of its configuration's admin.token or admin.tokens. It stays in this tab and is gone when the tab is closed." }),
    el("label", { for: "token" }, "Token", token), fault, el("div", { class: "row end" }, submit));
  const dialog = open(form, true);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const wrong = await enter(token.value.trim());
    submit.disabled = false;
    if (wrong === null) {
      dialog.remove(); // which closes it
      byId("main").focus();
      return;
    }
    fault.textContent = wrong;
    token.select();
    token.focus();
  });
}

// A button that does something to the daemon: asks, does it, says what came of it.
export async function perform(question, act, done) {
  const answer = question ? await confirmed(question) : { reason: "" };
  if (answer === null) return false;
  try {
    const result = await act(answer.reason);
    notice(typeof done === "function" ? done(result) : done);
    return true;
  } catch (error) {
    notice(error.message, "bad");
    return false;
  }
}
