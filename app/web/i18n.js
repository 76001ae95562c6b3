/** The page's sentences in the browser's language, and numbers, times and sizes as it writes them. */
import de from "./strings/de.js";
import en from "./strings/en.js";

const STRINGS = { en, de };

export const language = navigator.languages.map((tag) => tag.split("-")[0]).find((code) => code in STRINGS) ?? "en";

/** The sentence with this key; values replace `{name}`. */
export function say(key, values = {}) {
  return STRINGS[language][key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Fills every element with `data-say` (its text) or `data-say-ATTRIBUTE` below a root. */
export function fill(root) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const attribute of ["label", "placeholder", "title"]) {
    for (const element of root.querySelectorAll(`[data-say-${attribute}]`)) {
      const name = attribute === "label" ? "aria-label" : attribute;
      element.setAttribute(name, say(element.getAttribute(`data-say-${attribute}`)));
    }
  }
}

/** `1:05`, or `1:00:05` from an hour on. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

/** A limit in hours, minutes or seconds. */
export function length(seconds) {
  const [unit, size] = seconds >= 3600 ? ["hour", 3600] : seconds >= 60 ? ["minute", 60] : ["second", 1];
  return number(seconds / size, { style: "unit", unit, unitDisplay: "long" });
}

export function size(bytes) {
  const [unit, divisor] = bytes >= 2 ** 20 ? ["MiB", 2 ** 20] : ["KiB", 2 ** 10];
  return `${number(bytes / divisor, { maximumFractionDigits: bytes < 10 * divisor ? 1 : 0 })} ${unit}`;
}

export function percent(share) {
  return number(share, { style: "percent" });
}

/** A language's own name for its code. */
export function languageName(code) {
  return new Intl.DisplayNames(language, { type: "language" }).of(code === "jw" ? "jv" : code);
}

function number(value, options) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 1, ...options }).format(value);
}
