/** Saves, copies, and shows how a program gets the same. */
import { byId, download, make } from "./dom.js";
import { FORMATS, stem, writeText } from "./exports.js";
import { say } from "./i18n.js";
import { curlCall, sdkCall } from "./program_call.js";

const COPIED_MILLISECONDS = 2000;

/** `current()` is the recording that is shown. */
export function begin(current) {
  const buttons = FORMATS.map(({ name, suffix, type, write }) =>
    make("button", {
      type: "button",
      className: "secondary",
      textContent: name,
      dataset: { suffix },
      onclick: () => download(write(current()), `${stem(current().name)}.${suffix}`, type),
    }),
  );
  byId("formats").append(...buttons);
  byId("copy").onclick = ({ target }) => copy(writeText(current()), target);
  byId("call").onclick = () => {
    byId("call-curl").textContent = curlCall(current());
    byId("call-sdk").textContent = sdkCall(current());
    byId("call-dialog").showModal();
  };
  byId("call-close").onclick = () => byId("call-dialog").close();
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.onclick = () => copy(byId(button.dataset.copies).textContent, button);
  }
}

async function copy(text, button) {
  await write(text, button);
  button.textContent = say("save.copied");
  setTimeout(() => {
    button.textContent = say("save.copy");
  }, COPIED_MILLISECONDS);
}

/* navigator.clipboard exists on secure pages only. */
async function write(text, button) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea", { value: text });
  button.after(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  button.focus();
}
