/** A recording's text in segments, with what was corrected in it. */
import { moved, placed } from "./words.js";

const TYPING_MILLISECONDS = 1000;
/* Changes of one segment that follow each other within this time are undone together. */

/**
 * Segments are `{start, end, text, speaker, words}` in seconds; they are replaced, never changed. `names`
 * are the speakers' names where they were changed. Tells of `append` (detail: index), `change` (detail:
 * index) and `names`.
 */
export class Transcript extends EventTarget {
  #undone = [];
  #done = [];
  #typed = { index: -1, at: 0 };

  constructor({ segments = [], names = {} } = {}) {
    super();
    this.segments = segments;
    this.names = names;
  }

  /** What IndexedDB keeps. */
  get data() {
    return { segments: this.segments, names: this.names };
  }

  /** Takes one of the server's segments. */
  append({ start, end, text, speaker = "", words = [] }) {
    const trimmed = text.trim();
    this.segments.push({ start, end, text: trimmed, speaker, words: placed(trimmed, words) });
    this.#tell("append", this.segments.length - 1);
  }

  nameOf(speaker) {
    return this.names[speaker] || speaker;
  }

  /** Changes the text of a segment. */
  edit(index, text) {
    const before = this.segments[index];
    if (before.text === text) return;
    const after = { ...before, text, words: moved(before.words, before.text, text) };
    this.segments[index] = after;
    const now = performance.now();
    const typing = this.#typed.index === index && now - this.#typed.at < TYPING_MILLISECONDS;
    if (typing) this.#done.at(-1).after = after;
    else this.#done.push({ index, before, after });
    this.#typed = { index, at: now };
    this.#undone = [];
    this.#tell("change", index);
  }

  /** Gives a speaker another name; an empty one gives back the server's. */
  rename(speaker, name) {
    if (this.nameOf(speaker) === (name.trim() || speaker)) return;
    const step = { before: this.names, after: { ...this.names, [speaker]: name.trim() } };
    this.#remember(step);
    this.names = step.after;
    this.#tell("names");
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  undo() {
    this.#step(this.#done, this.#undone, "before");
  }

  redo() {
    this.#step(this.#undone, this.#done, "after");
  }

  /** The number of the segment that is heard at a time: the last one that has begun; -1 before the first. */
  indexAt(seconds) {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.segments[middle].start <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #remember(step) {
    this.#done.push(step);
    this.#undone = [];
    this.#typed.index = -1;
  }

  #step(from, to, side) {
    const step = from.pop();
    if (!step) return;
    to.push(step);
    this.#typed.index = -1;
    if ("index" in step) {
      this.segments[step.index] = step[side];
      this.#tell("change", step.index);
    } else {
      this.names = step[side];
      this.#tell("names");
    }
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
