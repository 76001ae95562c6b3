/** The list of recordings, with progress and what can be done with each. */
import { byId, make } from "./dom.js";
import { clock, percent, say, size } from "./i18n.js";
import { isRunning } from "./library.js";

/** `open(recording)` is called when one is chosen; `options()` gives the options to try again with. */
export class ListView {
  #library;
  #actions;
  #items = new Map();
  #chosen = null;

  constructor(library, actions) {
    this.#library = library;
    this.#actions = actions;
    library.addEventListener("list", () => this.#render());
    library.addEventListener("state", ({ detail }) => this.#announce(detail));
    for (const type of ["state", "progress"]) {
      library.addEventListener(type, ({ detail }) => this.#items.get(detail)?.update());
    }
    library.addEventListener("state", () => this.#renderKept());
  }

  /** Marks the recording that is shown. */
  choose(recording) {
    this.#chosen = recording;
    for (const [each, item] of this.#items) item.mark(each === recording);
  }

  #render() {
    const items = new Map();
    for (const recording of this.#library.recordings) {
      const item = this.#items.get(recording) ?? new Item(recording, this.#library, this.#actions);
      items.set(recording, item);
    }
    this.#items = items;
    byId("list").replaceChildren(...[...items.values()].map((item) => item.element));
    byId("list-empty").hidden = items.size > 0;
    this.choose(this.#chosen);
    this.#renderKept();
  }

  #renderKept() {
    const kept = this.#library.recordings.filter((recording) => recording.state === "done");
    const count = kept.length === 1 ? say("kept.one") : say("kept.many", { count: kept.length });
    const bytes = kept.reduce((sum, recording) => sum + recording.bytes, 0);
    byId("kept").hidden = !this.#library.recordings.length;
    byId("kept-text").textContent = this.#library.full ? say("kept.full") : say("kept", { count, size: size(bytes) });
  }

  /* Screen readers hear how each recording ends, but not each step on the way. */
  #announce(recording) {
    if (["done", "failed", "busy", "lost"].includes(recording.state)) {
      const said = stateText(recording) + (recording.message ? ` ${recording.message}` : "");
      byId("announcements").textContent = `${recording.name}: ${said}`;
    }
  }
}

class Item {
  #recording;
  #state = make("small", { className: "state" });
  #message = make("small", { className: "message" });
  #bar = make("progress", { max: 1 });
  #open;
  #buttons = {};

  constructor(recording, library, actions) {
    this.#recording = recording;
    const { name } = recording;
    this.#bar.setAttribute("aria-label", say("list.progress", { name }));
    this.#open = make("button", { type: "button", className: "open", title: name, onclick: () => actions.open(recording) });
    this.#open.append(make("span", { className: "name", textContent: name }), this.#state);
    this.#buttons.cancel = button("cancel", name, () => library.cancel(recording));
    this.#buttons.retry = button("retry", name, () => library.retry(recording, actions.options()));
    this.#buttons.delete = button("delete", name, () => actions.remove(recording));
    const buttons = make("div", { className: "actions" }, ...Object.values(this.#buttons));
    this.element = make("li", {}, make("div", { className: "row" }, this.#open, buttons), this.#bar, this.#message);
    this.update();
  }

  mark(chosen) {
    this.element.classList.toggle("chosen", chosen);
    if (chosen) this.#open.setAttribute("aria-current", "true");
    else this.#open.removeAttribute("aria-current");
  }

  update() {
    const { state, message } = this.#recording;
    this.element.dataset.state = state;
    this.#state.textContent = stateText(this.#recording);
    this.#message.textContent = message;
    this.#message.hidden = !message;
    this.#bar.hidden = !isRunning(this.#recording);
    const share = shareOf(this.#recording);
    if (share === null) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
    this.#buttons.cancel.hidden = !isRunning(this.#recording) && state !== "waiting";
    this.#buttons.retry.hidden = !["failed", "cancelled"].includes(state);
    this.#buttons.delete.hidden = isRunning(this.#recording) || state === "waiting";
  }
}

function button(action, name, onclick) {
  const textContent = say(`list.${action}`);
  return make("button", { type: "button", className: action, onclick, "aria-label": `${textContent}: ${name}`, textContent });
}

/** How much is done, from 0 to 1, by bytes sent or by seconds heard; null if nobody knows. */
function shareOf({ state, uploaded, heard, seconds }) {
  if (state === "uploading") return uploaded;
  if (!seconds || !heard) return state === "hearing" ? null : 0;
  return Math.min(1, heard / seconds);
}

function stateText(recording) {
  const { state, uploaded, heard, seconds, pause, options } = recording;
  if (state === "uploading") return say("state.uploading", { percent: percent(uploaded) });
  if (state === "busy" || state === "lost") return say(`state.${state}`, { seconds: pause });
  if (state === "done") return clock(seconds);
  if (state !== "hearing") return say(`state.${state}`);
  if (options.translate) return say("state.translating");
  if (!heard) return say("state.listening");
  return say(seconds ? "state.hearing" : "state.hearing.open", { heard: clock(heard), total: clock(seconds) });
}
