/**
 * The words of a segment, each with its place in the segment's text and its times:
 * `{from, to, start, end, probability}`. Signs between words belong to none.
 */

/** Finds the server's words in the text, in their order; words that are not in it are left out. */
export function placed(text, words) {
  let from = 0;
  const found = [];
  for (const { word, start, end, probability } of words) {
    const at = text.indexOf(word, from);
    if (at < 0) continue;
    from = at + word.length;
    found.push({ from: at, to: from, start, end, probability });
  }
  return found;
}

/**
 * The words of a changed text. What is before and after the change keeps its times; new words share the
 * time of those that they replace, and are sure.
 */
export function moved(words, before, after) {
  const { from, to, grown } = change(before, after);
  const head = words.filter((word) => word.to < from);
  const tail = words.filter((word) => word.from > to);
  const replaced = words.slice(head.length, words.length - tail.length);
  const shifted = tail.map((word) => ({ ...word, from: word.from + grown, to: word.to + grown }));
  const places = tokens(after, head.at(-1)?.to ?? 0, shifted[0]?.from ?? after.length);
  const same = (word, place) => before.slice(word.from, word.to) === after.slice(place.from, place.to);
  while (places.length && replaced.length && same(replaced[0], places[0])) {
    head.push({ ...replaced.shift(), ...places.shift() });
  }
  while (places.length && replaced.length && same(replaced.at(-1), places.at(-1))) {
    shifted.unshift({ ...replaced.pop(), ...places.pop() });
  }
  return [...head, ...shared(places, replaced, head.at(-1), shifted[0]), ...shifted];
}

/** The range of `before` that differs, and by how much the text grew. */
function change(before, after) {
  const shorter = Math.min(before.length, after.length);
  let from = 0;
  while (from < shorter && before[from] === after[from]) from += 1;
  let same = 0;
  while (same < shorter - from && before.at(-1 - same) === after.at(-1 - same)) same += 1;
  return { from, to: before.length - same, grown: after.length - before.length };
}

const TOKEN = /[\p{L}\p{N}]([^\s]*[\p{L}\p{N}%])?/gu;

function tokens(text, first, last) {
  return [...text.slice(first, last).matchAll(TOKEN)].map((match) => ({
    from: first + match.index,
    to: first + match.index + match[0].length,
  }));
}

function shared(places, replaced, previous, next) {
  if (places.length === replaced.length) {
    return places.map((place, index) => ({ ...replaced[index], ...place, probability: 1 }));
  }
  const start = replaced[0]?.start ?? previous?.end ?? next?.start ?? 0;
  const end = replaced.at(-1)?.end ?? next?.start ?? previous?.end ?? start;
  const step = (Math.max(end, start) - start) / places.length;
  return places.map((place, index) => ({
    ...place,
    start: start + index * step,
    end: start + (index + 1) * step,
    probability: 1,
  }));
}
