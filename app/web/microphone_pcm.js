/** An AudioWorklet: what it hears leaves as 16-bit PCM at 24 kHz, a tenth of a second at a time. */

const RATE = 24_000;
const PIECE_SAMPLES = RATE / 10;

class MicrophonePcm extends AudioWorkletProcessor {
  #piece = new Int16Array(PIECE_SAMPLES);
  #filled = 0;
  #last = 0;
  /* Where the next sample lies, in samples of the microphone after #last. */
  #position = 0;

  process([[heard]]) {
    if (!heard) return true;
    const step = sampleRate / RATE;
    for (; this.#position < heard.length; this.#position += step) {
      const index = Math.floor(this.#position);
      const before = index ? heard[index - 1] : this.#last;
      this.#add(before + (heard[index] - before) * (this.#position - index));
    }
    this.#position -= heard.length;
    this.#last = heard.at(-1);
    return true;
  }

  #add(sample) {
    this.#piece[this.#filled] = Math.max(-1, Math.min(1, sample)) * 32_767;
    this.#filled += 1;
    if (this.#filled < PIECE_SAMPLES) return;
    this.port.postMessage(this.#piece);
    this.#filled = 0;
  }
}

registerProcessor("microphone-pcm", MicrophonePcm);
