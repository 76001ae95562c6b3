/** Server-sent events out of a text that grows. */
export class EventReader {
  #read = 0;

  /** The objects of the events that are complete in `text` and were not returned before. */
  *next(text) {
    for (let end; (end = text.indexOf("\n\n", this.#read)) >= 0; ) {
      const frame = text.slice(this.#read, end);
      this.#read = end + 2;
      if (frame.startsWith("data: ")) yield JSON.parse(frame.slice("data: ".length));
    }
  }
}
