/**
 * Words are marked in the text by the browser's own highlights (CSS Custom Highlight API), not by an element
 * for each: a recording of an hour stays as light as its paragraphs. A browser without them shows no marks.
 */
const supported = "highlights" in CSS;
const marks = Object.fromEntries(["spoken", "unsure"].map((name) => [name, supported ? new Highlight() : null]));
if (supported) for (const [name, mark] of Object.entries(marks)) CSS.highlights.set(name, mark);

const UNSURE_BELOW = 0.5;

/** The range of a word in a paragraph that holds its segment's text and nothing else; null if it isn't there. */
export function rangeOf(paragraph, word) {
  const node = paragraph.firstChild;
  if (node?.nodeType !== Node.TEXT_NODE || word.to > node.length) return null;
  const range = document.createRange();
  range.setStart(node, word.from);
  range.setEnd(node, word.to);
  return range;
}

/** Marks one word as the one that is heard, or none. */
export function markSpoken(range) {
  if (!supported) return;
  marks.spoken.clear();
  if (range) marks.spoken.add(range);
}

/** The unsure words of the paragraphs that are in view. */
export class UnsureMarks {
  #ranges = new Map();
  shown = true;

  /** Marks a paragraph's unsure words anew. */
  mark(paragraph, words) {
    this.unmark(paragraph);
    if (!supported || !this.shown) return;
    const unsure = words.filter((word) => word.probability < UNSURE_BELOW);
    const ranges = unsure.map((word) => rangeOf(paragraph, word)).filter(Boolean);
    for (const range of ranges) marks.unsure.add(range);
    this.#ranges.set(paragraph, ranges);
  }

  unmark(paragraph) {
    for (const range of this.#ranges.get(paragraph) ?? []) marks.unsure.delete(range);
    this.#ranges.delete(paragraph);
  }

  clear() {
    marks.unsure?.clear();
    this.#ranges.clear();
  }
}

/** Where in a paragraph's text a point of the window is; null if it is nowhere. */
export function offsetAt(paragraph, x, y) {
  const position = document.caretPositionFromPoint?.(x, y);
  const node = position?.offsetNode ?? document.caretRangeFromPoint?.(x, y)?.startContainer;
  if (!node || !paragraph.contains(node)) return null;
  return position?.offset ?? document.caretRangeFromPoint(x, y).startOffset;
}
