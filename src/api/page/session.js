// Talking to the daemon: the token, one request, what went wrong. The token lives in this tab's sessionStorage and nowhere else.

const TOKEN = "coxswain.token";
const LIMIT_MS = 35000; // the daemon itself answers within 30 s

export class ApiError extends Error {
  constructor(status, message, answer = {}) {
    super(message);
    this.status = status; // 0: no answer came
    this.faults = Array.isArray(answer.faults) ? answer.faults : [];
    this.file = answer.file;
    this.line = answer.line;
  }
}

export const session = {
  token: sessionStorage.getItem(TOKEN),
  onDenied: () => {}, // a token is asked for

  enter(token) {
    this.token = token;
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
  },

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  },
};

// Relative, so that the page also works below a path of somebody's proxy.
export const urlOf = (path) => new URL(path.replace(/^\//, ""), document.baseURI).href;

async function answerOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { error: text.slice(0, 200) };
  }
}

// The answer's JSON; throws ApiError in words. 401 also calls session.onDenied.
export async function ask(method, path, body) {
  let response, answer;
  try {
    response = await fetch(urlOf(path), {
      method,
      headers: { ...session.headers(), ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    answer = await answerOf(response);
  } catch (error) {
    throw new ApiError(0, error.name === "TimeoutError" ? "the daemon did not answer in time" : "the daemon cannot be reached");
  }
  if (response.ok) return answer;
  if (response.status === 401) session.onDenied();
  throw new ApiError(response.status, answer?.error ?? `the daemon answered ${response.status}`, answer ?? {});
}

export const nodePath = (id, action = "") => `/admin/v1/nodes/${encodeURIComponent(id)}${action}`;
