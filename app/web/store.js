/** Recordings and their texts in IndexedDB, in this browser alone. */
const DATABASE = "recordings";
const VERSION = 1;
const TEXTS = "texts";
const SOUNDS = "sounds";
/* Apart, so that a corrected word doesn't write the sound again. */

export const MAX_SOUND_BYTES = 50 * 2 ** 20;

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(TEXTS, { keyPath: "id" });
      request.result.createObjectStore(SOUNDS);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function inTransaction(mode, work) {
  const transaction = (await database()).transaction([TEXTS, SOUNDS], mode);
  const result = work(transaction.objectStore(TEXTS), transaction.objectStore(SOUNDS));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(result instanceof IDBRequest ? result.result : undefined);
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

export const texts = () => inTransaction("readonly", (kept) => kept.getAll());

/** The file of a recording; undefined if it was too large. */
export const sound = (id) => inTransaction("readonly", (_, kept) => kept.get(id));

export const keepText = (entry) => inTransaction("readwrite", (kept) => void kept.put(entry));

export const keepSound = (id, file) => inTransaction("readwrite", (_, kept) => void kept.put(file, id));

export const forget = (id) =>
  inTransaction("readwrite", (texts_, sounds) => {
    texts_.delete(id);
    sounds.delete(id);
  });

export const forgetAll = () =>
  inTransaction("readwrite", (texts_, sounds) => {
    texts_.clear();
    sounds.clear();
  });
