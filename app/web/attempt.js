/** One request for one recording's text. */
import { ConnectionLost, Refusal, endpoint, keyHeaders } from "./api.js";
import { EventReader } from "./event_reader.js";

const SILENT_MILLISECONDS = 60_000;
/* The server sends a comment every 10 s; where nothing comes for this long, the connection is dead. */

/** Its endpoint and form fields. A translation is not streamed: that is not in OpenAI's API. */
export function requestOf(options) {
  const fields = [["model", options.model]];
  if (options.language) fields.push(["language", options.language]);
  if (options.prompt) fields.push(["prompt", options.prompt]);
  if (options.translate) return { path: "v1/audio/translations", fields: [...fields, ["response_format", "verbose_json"]] };
  fields.push(["response_format", options.speakers ? "diarized_json" : "verbose_json"]);
  if (options.words && !options.speakers) {
    fields.push(["timestamp_granularities[]", "segment"], ["timestamp_granularities[]", "word"]);
  }
  fields.push(["stream", "true"]);
  return { path: "v1/audio/transcriptions", fields };
}

/**
 * Sends the file and resolves to the last event, or to the whole answer of a translation.
 * `onUpload(share)` and `onSegment(segment)` tell how far it is.
 * Rejects with Refusal, ConnectionLost, or the signal's reason once it is aborted.
 */
export function attempt(file, options, signal, { onUpload, onSegment }) {
  const { path, fields } = requestOf(options);
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  form.append("file", file, file.name);
  const streamed = !options.translate;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const reader = new EventReader();
    let last = null;
    const watchdog = new Watchdog(() => request.abort());
    const handle = () => {
      for (const event of reader.next(request.responseText)) {
        if (event.error) throw new Refusal(request.status, event.error.message);
        last = event;
        if (event.type === "transcript.text.segment") onSegment(event);
        else if (event.segment) onSegment(event.segment);
      }
    };
    const fail = (error) => {
      reject(error);
      request.abort();
    };
    const stop = () => fail(signal.reason);
    signal.addEventListener("abort", stop);
    request.upload.onprogress = (event) => {
      watchdog.restart();
      onUpload(event.loaded / event.total);
    };
    request.upload.onload = () => onUpload(1);
    request.onprogress = () => {
      if (!streamed || request.status !== 200) return;
      watchdog.restart();
      try {
        handle();
      } catch (error) {
        fail(error);
      }
    };
    request.onload = () => {
      try {
        resolve(streamed ? ended(request, handle, () => last) : whole(request));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () => reject(new ConnectionLost());
    request.onabort = () => reject(new ConnectionLost());
    request.onloadend = () => {
      watchdog.stop();
      signal.removeEventListener("abort", stop);
    };
    request.open("POST", endpoint(path));
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.send(form);
    if (streamed) watchdog.restart();
  });
}

function ended(request, handle, last) {
  refuse(request);
  handle();
  if (last()?.type !== "transcript.text.done") throw new ConnectionLost();
  return last();
}

function whole(request) {
  refuse(request);
  const answer = JSON.parse(request.responseText);
  if (answer.error) throw new Refusal(request.status, answer.error.message);
  return answer;
}

function refuse(request) {
  if (request.status !== 200) {
    throw Refusal.from(request.status, request.responseText, request.getResponseHeader("Retry-After"));
  }
}

/** Calls back once nothing has happened for SILENT_MILLISECONDS. */
class Watchdog {
  #timer = null;
  #bite;

  constructor(bite) {
    this.#bite = bite;
  }

  restart() {
    this.stop();
    this.#timer = setTimeout(this.#bite, SILENT_MILLISECONDS);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
