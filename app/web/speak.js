/** Has the server say a text. */
import { call } from "./api.js";
import { byId, download, make } from "./dom.js";
import { say } from "./i18n.js";
import { askKey } from "./key_dialog.js";

const MODEL = "tts-1";
const MAX_CHARACTERS = 4096;

let spoken = null;
let url = "";

export function begin() {
  byId("speak-form").onsubmit = (event) => {
    event.preventDefault();
    speak();
  };
  byId("speak-text").oninput = count;
  byId("speak-download").onclick = () => download(spoken, "speech.mp3");
  byId("speak-text").maxLength = MAX_CHARACTERS;
  count();
}

/** Fills the list of voices. */
export async function loadVoices() {
  const { voices } = await (await call("v1/audio/voices", askKey)).json();
  byId("speak-voice").replaceChildren(...voices.map(({ id, name }) => make("option", { value: id, textContent: name })));
}

async function speak() {
  const button = byId("speak-button");
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  button.textContent = say("speak.busy");
  show("");
  try {
    const voice = byId("speak-voice").value || "alloy";
    const answer = await call("v1/audio/speech", askKey, { model: MODEL, voice, input: byId("speak-text").value });
    play(await answer.blob());
  } catch (error) {
    show(error.message);
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    button.textContent = say("speak.button");
  }
}

function play(blob) {
  spoken = blob;
  if (url) URL.revokeObjectURL(url);
  url = URL.createObjectURL(blob);
  const audio = byId("speak-audio");
  audio.src = url;
  byId("speak-result").hidden = false;
  audio.play().catch(() => {});
}

function show(problem) {
  byId("speak-problem").textContent = problem;
  byId("speak-problem").hidden = !problem;
}

function count() {
  const values = { count: byId("speak-text").value.length, limit: MAX_CHARACTERS };
  byId("speak-count").textContent = say("speak.count", values);
}
