/** One recording's text, asked for until it is there, refused for good, or no longer wanted. */
import { ConnectionLost, Refusal } from "./api.js";
import { attempt } from "./attempt.js";

const MAX_BREAKS = 10;
/* in a row, without any progress between them: about two minutes */
const MAX_PAUSE_SECONDS = 15;
/* The server keeps what it has heard for 15 s after a connection broke, and goes on from there. */

/**
 * Resolves to the last event or answer. `on` has `upload(share)`, `restart()`, `segment(segment)` and
 * `pause(kind, seconds)`, which is called each second with `busy` or `lost`; `askKey(message)` says whether
 * there is a new key. Rejects with Refusal, ConnectionLost or the signal's reason.
 */
export async function transcribe(file, options, signal, on, askKey) {
  let breaks = 0;
  let heard = 0;
  let most = 0;
  const listeners = {
    onUpload: on.upload,
    onSegment: (segment) => {
      heard += 1;
      if (heard > most) [most, breaks] = [heard, 0];
      on.segment(segment);
    },
  };
  for (;;) {
    signal.throwIfAborted();
    heard = 0;
    on.restart();
    try {
      return await attempt(file, options, signal, listeners);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof ConnectionLost && breaks < MAX_BREAKS) {
        await pause("lost", Math.min(2 ** breaks, MAX_PAUSE_SECONDS), signal, on.pause);
        breaks += 1;
      } else if (error instanceof Refusal && error.retryAfterSeconds !== null) {
        await pause("busy", error.retryAfterSeconds, signal, on.pause);
      } else if (!(error instanceof Refusal) || error.status !== 401 || !(await askKey(error.message))) {
        throw error;
      }
    }
  }
}

async function pause(kind, seconds, signal, tell) {
  for (let left = seconds; left > 0; left -= 1) {
    tell(kind, left);
    await sleep(1000, signal);
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
