/** How long a file is, as the browser reads its head. */
const PATIENCE_MILLISECONDS = 5000;

/** Seconds; null where the browser can't tell. */
export function secondsOf(file) {
  const url = URL.createObjectURL(file);
  const audio = new Audio();
  return new Promise((resolve) => {
    const end = () => resolve(Number.isFinite(audio.duration) ? audio.duration : null);
    audio.onloadedmetadata = end;
    audio.onerror = () => resolve(null);
    setTimeout(end, PATIENCE_MILLISECONDS);
    audio.preload = "metadata";
    audio.src = url;
  }).finally(() => {
    audio.removeAttribute("src");
    URL.revokeObjectURL(url);
  });
}
