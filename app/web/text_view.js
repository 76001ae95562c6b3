/** A transcript on the page: a paragraph for each segment, to read, to hear and to correct. */
import { byId, make } from "./dom.js";
import { UnsureMarks, markSpoken, offsetAt, rangeOf } from "./highlights.js";
import { clock, say } from "./i18n.js";

const LINGER_SECONDS = 0.3;
/* for which a word stays marked after its end, so that the mark doesn't flicker between words */

/** `play(seconds)` is called when a word or a time is clicked, `changed()` after every change. */
export class TextView {
  #list = byId("segments");
  #rows = [];
  #transcript = null;
  #actions;
  #unsure = new UnsureMarks();
  #inView = new Set();
  #observer;
  #listening = null;
  #current = -1;
  #word = null;
  #correcting = false;

  constructor(actions) {
    this.#actions = actions;
    this.#observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.#seen(entry)), {
      rootMargin: "200px",
    });
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("input", (event) => this.#input(event));
    this.#list.addEventListener("beforeinput", (event) => this.#beforeInput(event));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("change", (event) => this.#rename(event));
  }

  /** Shows a transcript, which may still grow. */
  show(transcript) {
    this.#listening?.abort();
    this.#listening = new AbortController();
    this.#observer.disconnect();
    this.#unsure.clear();
    this.#inView.clear();
    markSpoken(null);
    this.#current = -1;
    this.#word = null;
    this.#transcript = transcript;
    this.#rows = transcript.segments.map((_, index) => this.#row(index));
    this.#list.replaceChildren(...this.#rows.map((row) => row.element));
    this.#rows.forEach((row) => this.#observer.observe(row.text));
    const options = { signal: this.#listening.signal };
    transcript.addEventListener("append", ({ detail }) => this.#append(detail), options);
    transcript.addEventListener("change", ({ detail }) => this.#changed(detail), options);
    transcript.addEventListener("names", () => this.#renamed(), options);
  }

  /** Marks what is heard at a time. */
  hear(seconds) {
    const index = this.#transcript.indexAt(seconds);
    if (index !== this.#current) {
      this.#rows[this.#current]?.element.removeAttribute("aria-current");
      this.#rows[index]?.element.setAttribute("aria-current", "true");
      if (index >= 0 && !this.#correcting) this.#rows[index].element.scrollIntoView({ block: "nearest" });
      this.#current = index;
    }
    const begun = this.#transcript.segments[index]?.words.findLast((word) => word.start <= seconds);
    const word = begun && seconds < begun.end + LINGER_SECONDS ? begun : null;
    if (word !== this.#word) markSpoken(word && rangeOf(this.#rows[index].text, word));
    this.#word = word;
  }

  /** The start of the segment that is so many after the one that is heard at a time. */
  startBeside(seconds, steps) {
    const index = Math.min(Math.max(this.#transcript.indexAt(seconds) + steps, 0), this.#rows.length - 1);
    return this.#transcript.segments[index]?.start ?? 0;
  }

  set correcting(on) {
    this.#correcting = on;
    this.#rows.forEach((row) => setEditable(row, on));
  }

  set showsUnsure(on) {
    this.#unsure.shown = on;
    for (const text of this.#inView) this.#mark(text);
  }

  #row(index) {
    const { start, speaker, text } = this.#transcript.segments[index];
    const time = make("button", {
      type: "button",
      className: "time",
      textContent: clock(start),
      "aria-label": say("text.segment", { time: clock(start) }),
    });
    const paragraph = make("p", { dir: "auto", textContent: text, dataset: { index } });
    const row = { text: paragraph, name: null };
    const body = make("div", { className: "body" }, paragraph);
    if (speaker) {
      row.name = make("input", { className: "speaker", value: this.#transcript.nameOf(speaker), dataset: { speaker } });
      row.name.setAttribute("aria-label", say("text.speaker"));
      body.prepend(row.name);
    }
    row.element = make("li", {}, time, body);
    row.element.dataset.index = index;
    setEditable(row, this.#correcting);
    return row;
  }

  #append(index) {
    const row = this.#row(index);
    this.#rows.push(row);
    this.#list.append(row.element);
    this.#observer.observe(row.text);
    this.#actions.changed();
  }

  #changed(index) {
    const { text } = this.#transcript.segments[index];
    const paragraph = this.#rows[index].text;
    if (paragraph.textContent !== text) {
      paragraph.textContent = text;
      if (this.#correcting) placeCaretAtEnd(paragraph);
    }
    paragraph.normalize();
    this.#mark(paragraph);
    this.#actions.changed();
  }

  #renamed() {
    for (const { name } of this.#rows) if (name) name.value = this.#transcript.nameOf(name.dataset.speaker);
    this.#actions.changed();
  }

  #rename({ target }) {
    if (target.dataset.speaker === undefined) return;
    this.#transcript.rename(target.dataset.speaker, target.value);
    target.value = this.#transcript.nameOf(target.dataset.speaker);
  }

  #seen({ target, isIntersecting }) {
    if (isIntersecting) {
      this.#inView.add(target);
      this.#mark(target);
    } else {
      this.#inView.delete(target);
      this.#unsure.unmark(target);
    }
  }

  #mark(paragraph) {
    if (this.#inView.has(paragraph)) this.#unsure.mark(paragraph, this.#segmentOf(paragraph).words);
  }

  #segmentOf(paragraph) {
    return this.#transcript.segments[Number(paragraph.dataset.index)];
  }

  #click(event) {
    const index = event.target.closest("li")?.dataset.index;
    if (index === undefined || event.target.matches("input")) return;
    const paragraph = this.#rows[index].text;
    const segment = this.#transcript.segments[index];
    if (event.target.matches(".time")) this.#actions.play(segment.start);
    else if (!this.#correcting && getSelection().isCollapsed) {
      const offset = offsetAt(paragraph, event.clientX, event.clientY);
      const word = offset === null ? null : segment.words.findLast((each) => each.from <= offset);
      this.#actions.play(word?.start ?? segment.start);
    }
  }

  #input({ target }) {
    if (target.dataset.index === undefined) return;
    if (target.children.length) target.textContent = target.textContent;
    this.#transcript.edit(Number(target.dataset.index), target.textContent.replaceAll("\n", " "));
  }

  #beforeInput(event) {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") event.preventDefault();
    if (event.inputType === "insertParagraph" || event.inputType === "insertLineBreak") event.preventDefault();
  }

  #key(event) {
    const z = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
    const y = event.key.toLowerCase() === "y" && event.ctrlKey;
    if (!event.target.isContentEditable || !(z || y)) return;
    event.preventDefault();
    if (y || event.shiftKey) this.#transcript.redo();
    else this.#transcript.undo();
  }
}

function setEditable({ text }, on) {
  if (!on) {
    text.removeAttribute("contenteditable");
    for (const name of ["role", "aria-label", "aria-multiline"]) text.removeAttribute(name);
    return;
  }
  try {
    text.contentEditable = "plaintext-only";
  } catch {
    text.contentEditable = "true";
  }
  text.setAttribute("role", "textbox");
  text.setAttribute("aria-multiline", "true");
  text.setAttribute("aria-label", say("text.label"));
}

function placeCaretAtEnd(paragraph) {
  paragraph.focus({ preventScroll: false });
  getSelection().selectAllChildren(paragraph);
  getSelection().collapseToEnd();
}
