/** Asks for an API key. It is kept for the session. */
import { key } from "./api.js";
import { byId } from "./dom.js";

let asking = null;

/** Whether a key was given. All who ask at the same time share one dialog. */
export function askKey(message) {
  asking ??= ask(message).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(message) {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  byId("key-message").textContent = message;
  dialog.showModal();
  return new Promise((resolve) => {
    const end = (given) => {
      if (given) key.set(input.value.trim());
      input.value = "";
      dialog.close();
      resolve(given);
    };
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      if (input.value.trim()) end(true);
    };
    byId("key-cancel").onclick = () => end(false);
    dialog.oncancel = (event) => {
      event.preventDefault();
      end(false);
    };
  });
}
