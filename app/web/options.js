/** The options of the next recordings, remembered in this browser. */
import { byId, make } from "./dom.js";
import { languageName, say } from "./i18n.js";

const STORED = "options";
const CODES = (
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy " +
  "id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru " +
  "sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh"
).split(" ");
const CHAT_OR_SPEECH = /^(tts-|gpt-audio|gpt-4o(-mini)?-audio|gpt-4o-mini-tts)/;
const DIARIZE = "gpt-4o-transcribe-diarize";

const VALUES = { language: "value", model: "value", prompt: "value", translate: "checked", words: "checked", speakers: "checked" };
const control = (name) => byId(`option-${name}`);

/** The options as they are chosen now. */
export function chosen() {
  const options = {};
  for (const [name, property] of Object.entries(VALUES)) options[name] = control(name)[property];
  options.model ||= "whisper-1";
  return options;
}

/** Fills the lists of languages, restores what was chosen, and remembers what will be. */
export function begin() {
  const languages = CODES.map((code) => [languageName(code), code]).sort(([one], [other]) => one.localeCompare(other));
  control("language").append(
    new Option(say("options.language.auto"), ""),
    ...languages.map(([name, code]) => new Option(name, code)),
  );
  restore();
  byId("options").addEventListener("change", () => {
    localStorage.setItem(STORED, JSON.stringify(chosen()));
    exclude();
  });
  exclude();
}

/** Fills the list of models with those that transcribe; the server's own comes first. */
export function setModels(names) {
  const select = control("model");
  const wanted = stored().model ?? select.value;
  const usable = names.filter((name) => !CHAT_OR_SPEECH.test(name) && name !== DIARIZE);
  select.replaceChildren(...usable.map((name) => make("option", { value: name, textContent: name })));
  if (usable.includes(wanted)) select.value = wanted;
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? {};
  } catch {
    return {};
  }
}

function restore() {
  for (const [name, value] of Object.entries(stored())) {
    if (name in VALUES) control(name)[VALUES[name]] = value;
  }
}

/* Neither a translation nor speakers come with times of words. */
function exclude() {
  const { translate, speakers } = chosen();
  control("speakers").disabled = translate;
  control("translate").disabled = speakers && !translate;
  control("words").disabled = translate || speakers;
}
