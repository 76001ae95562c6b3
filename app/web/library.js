/** The recordings: those that wait, those that are being transcribed, and those that are kept. */
import { askKey } from "./key_dialog.js";
import { say, size, length } from "./i18n.js";
import { secondsOf } from "./duration.js";
import * as store from "./store.js";
import { Transcript } from "./transcript.js";
import { transcribe } from "./transcription.js";

const AT_A_TIME = 2;
const WRITE_MILLISECONDS = 400;
const RUNNING = ["uploading", "hearing", "busy", "lost"];

/**
 * A recording is `{id, name, bytes, createdAt, seconds, draft, options, state, message, uploaded, heard, pause,
 * file, transcript}`. `state` is waiting, uploading, hearing, busy, lost, done, failed or cancelled;
 * `draft` the text that was read while it was spoken; `uploaded` a share, `heard` seconds; `file` null where
 * the browser doesn't have it any more.
 * Tells of `list`, and of `state` and `progress` with the recording as detail.
 */
export class Library extends EventTarget {
  recordings = [];
  full = false;
  #limits = null;
  #unwritten = new Map();

  /** `limits` is a promise of what the server takes. */
  constructor(limits) {
    super();
    this.#limits = limits;
  }

  /** Reads what was kept. */
  async load() {
    const kept = await store.texts().catch(() => []);
    kept.sort((one, other) => other.createdAt - one.createdAt);
    for (const { transcript, ...entry } of kept) {
      const recording = { ...entry, state: "done", file: null, transcript: new Transcript(transcript) };
      this.recordings.push(recording);
      this.#keepChanges(recording);
    }
    this.#tell("list");
  }

  add(files, options) {
    const added = [...files].map((file) => newRecording(file, options));
    this.recordings.unshift(...added.toReversed());
    this.#tell("list");
    this.#next();
    return added;
  }

  cancel(recording) {
    recording.abort?.abort(new DOMException("", "AbortError"));
    if (recording.state === "waiting") this.#enter(recording, "cancelled");
  }

  retry(recording, options) {
    Object.assign(recording, { options, message: "", uploaded: 0, heard: 0, transcript: new Transcript() });
    this.#enter(recording, "waiting");
    this.#next();
  }

  async remove(recording) {
    this.cancel(recording);
    this.recordings = this.recordings.filter((each) => each !== recording);
    this.#tell("list");
    await store.forget(recording.id).catch(() => {});
  }

  async clear() {
    this.recordings.forEach((recording) => this.cancel(recording));
    this.recordings = [];
    this.#tell("list");
    await store.forgetAll().catch(() => {});
  }

  /** The file of a recording, from memory or from what was kept; null if there is none. */
  async fileOf(recording) {
    recording.file ??= (await store.sound(recording.id).catch(() => null)) ?? null;
    return recording.file;
  }

  get busy() {
    return this.recordings.some(isRunning);
  }

  #next() {
    while (this.recordings.filter(isRunning).length < AT_A_TIME) {
      const next = this.recordings.findLast((recording) => recording.state === "waiting");
      if (!next) return;
      this.#run(next);
    }
  }

  async #run(recording) {
    recording.abort = new AbortController();
    this.#enter(recording, "uploading");
    try {
      await this.#check(recording);
      const result = await transcribe(
        recording.file,
        recording.options,
        recording.abort.signal,
        this.#listeners(recording),
        askKey,
      );
      this.#complete(recording, result);
    } catch (error) {
      const cancelled = recording.abort.signal.aborted;
      recording.message = cancelled ? "" : error.message;
      this.#enter(recording, cancelled ? "cancelled" : "failed");
    }
    this.#next();
  }

  /** Throws an error for a file that the server would refuse. */
  async #check(recording) {
    recording.seconds ??= await secondsOf(recording.file);
    recording.abort.signal.throwIfAborted();
    const limits = await this.#limits;
    if (!recording.bytes) throw new Error(say("error.empty"));
    if (limits && recording.bytes > limits.file_bytes) {
      const sizes = { size: size(recording.bytes), limit: size(limits.file_bytes) };
      throw new Error(say("error.size", sizes));
    }
    if (limits && recording.seconds > limits.recording_seconds) {
      const lengths = { length: length(recording.seconds), limit: length(limits.recording_seconds) };
      throw new Error(say("error.length", lengths));
    }
  }

  #listeners(recording) {
    let received = 0;
    return {
      restart: () => {
        received = 0;
        recording.uploaded = 0;
        this.#enter(recording, "uploading");
      },
      upload: (share) => {
        recording.uploaded = share;
        if (share < 1) this.#tell("progress", recording);
        else this.#enter(recording, "hearing");
      },
      segment: (segment) => {
        // After a lost connection the stream comes again from its start.
        received += 1;
        if (received <= recording.transcript.segments.length) return;
        recording.transcript.append(segment);
        recording.heard = segment.end;
        this.#tell("progress", recording);
      },
      pause: (kind, seconds) => {
        recording.pause = seconds;
        this.#enter(recording, kind);
      },
    };
  }

  #complete(recording, result) {
    if (recording.options.translate) result.segments.forEach((each) => recording.transcript.append(each));
    recording.seconds = result.duration ?? recording.seconds ?? recording.transcript.segments.at(-1)?.end ?? 0;
    recording.heard = recording.seconds;
    this.#enter(recording, "done");
    this.#keepChanges(recording);
    this.#keep(recording);
  }

  /** Writes at once what would be written a moment after the last key. */
  flush() {
    for (const recording of this.#unwritten.keys()) this.#keepText(recording);
  }

  #keepChanges(recording) {
    const later = () => {
      clearTimeout(this.#unwritten.get(recording));
      this.#unwritten.set(recording, setTimeout(() => this.#keepText(recording), WRITE_MILLISECONDS));
    };
    recording.transcript.addEventListener("change", later);
    recording.transcript.addEventListener("names", later);
  }

  async #keep(recording) {
    await this.#keepText(recording);
    if (recording.bytes > store.MAX_SOUND_BYTES || !this.recordings.includes(recording)) return;
    await store.keepSound(recording.id, recording.file).catch(() => this.#isFull());
  }

  async #keepText(recording) {
    clearTimeout(this.#unwritten.get(recording));
    this.#unwritten.delete(recording);
    if (!this.recordings.includes(recording)) return;
    const { id, name, bytes, createdAt, seconds, options, transcript } = recording;
    const entry = { id, name, bytes, createdAt, seconds, options, transcript: transcript.data };
    await store.keepText(entry).catch(() => this.#isFull());
  }

  #isFull() {
    this.full = true;
    this.#tell("list");
  }

  #enter(recording, state) {
    recording.state = state;
    this.#tell("state", recording);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const isRunning = (recording) => RUNNING.includes(recording.state);

function newRecording(file, options) {
  return {
    id: newId(),
    name: file.name,
    bytes: file.size,
    createdAt: Date.now(),
    seconds: file.seconds ?? null,
    draft: file.draft ?? "",
    options,
    state: "waiting",
    message: "",
    uploaded: 0,
    heard: 0,
    pause: 0,
    file,
    transcript: new Transcript(),
  };
}

/* crypto.randomUUID exists on secure pages only. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
