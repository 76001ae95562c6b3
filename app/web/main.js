/** Puts the page together. */
import { call, endpoint } from "./api.js";
import { byId } from "./dom.js";
import { fill, length, say, size } from "./i18n.js";
import { askKey } from "./key_dialog.js";
import { Library, isRunning } from "./library.js";
import { ListView } from "./list_view.js";
import { LiveText } from "./live_text.js";
import * as options from "./options.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";
import * as saveBar from "./save_bar.js";
import * as speak from "./speak.js";
import { TextView } from "./text_view.js";

let current = null;

fill(document);
options.begin();
speak.begin();
saveBar.begin(() => current);

const library = new Library(limits());
const player = new Player({
  hear: (seconds) => current && text.hear(seconds),
  beside: (seconds, steps) => text.startBeside(seconds, steps),
});
const text = new TextView({ play: (seconds) => player.playFrom(seconds), changed: renderText });
const list = new ListView(library, { open: choose, remove, options: options.chosen });
new Recorder({ listen, done: recorded });

library.addEventListener("state", ({ detail }) => {
  if (detail !== current) return;
  if (detail.state === "waiting") open(detail);
  renderText();
  if (detail.state === "done") loadSound();
});

async function limits() {
  try {
    const taken = await (await fetch(endpoint("limits"))).json();
    const values = { size: size(taken.file_bytes), length: length(taken.recording_seconds) };
    byId("drop-limits").textContent = say("drop.limits", values);
    return taken;
  } catch {
    return null;
  }
}

async function models() {
  const answer = await call("v1/models", askKey);
  const notice = answer.headers.get("x-model-notice");
  byId("notice").textContent = notice ?? "";
  byId("notice").hidden = !notice;
  const { data } = await answer.json();
  const speech = await (await call("v1/audio/models", askKey)).json();
  const speaking = new Set(speech.models.map(({ id }) => id));
  options.setModels(data.map(({ id }) => id).filter((id) => !speaking.has(id)));
  await speak.loadVoices();
}

function add(files) {
  if (!files.length) return;
  const [first] = library.add(files, options.chosen());
  if (!current || !isRunning(current)) open(first);
}

/* While somebody speaks the text so far stands in the place of the recording that was shown. */
function listen(stream) {
  byId("live-text").textContent = "";
  byId("text-region").classList.add("live");
  return new LiveText(stream, options.chosen(), askKey, (soFar) => {
    byId("live-text").textContent = soFar;
  });
}

function recorded(file) {
  byId("text-region").classList.remove("live");
  add([Object.assign(file, { draft: byId("live-text").textContent })]);
}

function open(recording) {
  if (current !== recording) player.clear();
  current = recording;
  setCorrecting(false);
  list.choose(recording);
  byId("text-name").textContent = recording.name;
  byId("text-empty").hidden = true;
  byId("text").hidden = false;
  text.show(recording.transcript);
  renderText();
  loadSound();
}

/* On a narrow screen the text is below the list. */
function choose(recording) {
  open(recording);
  byId("text-region").focus();
}

async function loadSound() {
  const recording = current;
  const file = await library.fileOf(recording);
  if (recording === current && (file || recording.state === "done")) player.load(file, recording.seconds);
}

function close() {
  current = null;
  player.clear();
  list.choose(null);
  byId("text").hidden = true;
  byId("text-empty").hidden = false;
}

function remove(recording) {
  if (recording === current) close();
  library.remove(recording);
}

function renderText() {
  if (!current) return;
  const { state, transcript } = current;
  byId("text").dataset.state = state;
  byId("text-tools").hidden = state !== "done";
  byId("save").hidden = !transcript.segments.length;
  byId("text-none").hidden = state !== "done" || transcript.segments.length > 0;
  byId("text-waiting").textContent = current.draft || say("state.listening");
  byId("text-waiting").hidden = transcript.segments.length > 0 || ["done", "failed", "cancelled"].includes(state);
  byId("undo").disabled = !transcript.canUndo;
  byId("redo").disabled = !transcript.canRedo;
  const rated = transcript.segments.some(({ words }) => words.some((word) => word.probability !== undefined));
  byId("unsure-label").hidden = !rated;
}

function setCorrecting(on) {
  text.correcting = on;
  byId("correct").setAttribute("aria-pressed", on);
  byId("correct-hint").hidden = !on;
}

byId("correct").onclick = () => {
  const on = byId("correct").getAttribute("aria-pressed") !== "true";
  if (on) player.pause();
  setCorrecting(on);
};
byId("undo").onclick = () => current.transcript.undo();
byId("redo").onclick = () => current.transcript.redo();
byId("unsure").onchange = ({ target }) => {
  text.showsUnsure = target.checked;
};
byId("files").onchange = ({ target }) => {
  add([...target.files]);
  target.value = "";
};
byId("choose").onclick = () => byId("files").click();
byId("delete-all").onclick = () => {
  if (!confirm(say("kept.sure"))) return;
  close();
  library.clear();
};

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  add([...event.dataTransfer.files]);
});
addEventListener("beforeunload", (event) => {
  if (library.busy) event.preventDefault();
});

addEventListener("pagehide", () => library.flush());

function showSection() {
  const wanted = location.hash === "#speak" ? "speak" : "transcribe";
  for (const id of ["transcribe", "speak"]) {
    byId(id).hidden = id !== wanted;
    const link = document.querySelector(`nav a[href="#${id}"]`);
    if (id === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (wanted === "speak") player.pause();
}
addEventListener("hashchange", showSection);
showSection();

await library.load();
document.body.dataset.ready = "true";
await models().catch((error) => {
  byId("problem").textContent = error.message;
  byId("problem").hidden = false;
});
