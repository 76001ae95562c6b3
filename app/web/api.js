/** The server's public API: where it is, the key it wants, and its errors. */
import { say } from "./i18n.js";

const KEY = "api-key";

/** A URL of the API, relative to the page, whatever prefix the page has. */
export const endpoint = (path) => new URL(path, document.baseURI).href;

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

export function keyHeaders() {
  return key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
}

/** The server refused: its own sentence, and the seconds after which it may be asked again. */
export class Refusal extends Error {
  constructor(status, message, retryAfterSeconds = null) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** From an answer's status, body and `Retry-After`. */
  static from(status, body, retryAfter) {
    return new Refusal(status, sentence(body) ?? say("error.status", { status }), waitSeconds(status, retryAfter));
  }
}

/** The connection broke, or said nothing for too long. */
export class ConnectionLost extends Error {
  constructor() {
    super(say("error.lost"));
  }
}

/** A GET or a POST of JSON that needs no progress. Asks for a key where the server wants one. Throws Refusal. */
export async function call(path, askKey, body = null) {
  for (;;) {
    const answer = await fetch(endpoint(path), {
      method: body ? "POST" : "GET",
      headers: { ...keyHeaders(), ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    }).catch(() => {
      throw new ConnectionLost();
    });
    if (answer.ok) return answer;
    const refusal = Refusal.from(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    if (refusal.status !== 401 || !(await askKey(refusal.message))) throw refusal;
  }
}

function sentence(body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return null;
  }
}

const PASSING = [408, 429, 502, 503];
const DEFAULT_SECONDS = 5;

function waitSeconds(status, retryAfter) {
  if (!PASSING.includes(status)) return null;
  const seconds = Number.parseInt(retryAfter, 10);
  return Number.isNaN(seconds) ? DEFAULT_SECONDS : Math.max(1, seconds);
}
