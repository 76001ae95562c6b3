/** Text while somebody speaks, over the server's realtime WebSocket. */
import { call, endpoint, key } from "./api.js";

const TRANSCRIPTION = "conversation.item.input_audio_transcription";
const HIGHEST_HERTZ = 11_000;
/* Nothing above it reaches the worklet, whose samples are 24 kHz. */
const MAX_WAITING_PIECES = 300;
const MAX_WAITING_BYTES = 2 ** 20;
/* 30 s before the connection is open, 16 s in base64 after. Who is further behind shows nothing that is live. */

/**
 * Hears a microphone's stream until it is closed. `changed(text)` is called with all of the text so far.
 * It is a preview: whatever goes wrong, it only ends, and the recording goes on.
 */
export class LiveText {
  #changed;
  #context = new AudioContext();
  #socket = null;
  #waiting = [];
  #texts = new Map();
  #session;

  constructor(stream, options, askKey, changed) {
    this.#changed = changed;
    this.#session = sessionOf(options);
    this.#begin(stream, askKey).catch(() => this.close());
  }

  close() {
    this.#socket?.close();
    this.#waiting = [];
    if (!this.#closed) this.#context.close();
  }

  get #closed() {
    return this.#context.state === "closed";
  }

  async #begin(stream, askKey) {
    await this.#hear(stream);
    const protocols = key.get() ? [await secretProtocol(askKey)] : [];
    if (!this.#closed) this.#connect(["realtime", ...protocols]);
  }

  async #hear(stream) {
    await this.#context.audioWorklet.addModule(endpoint("web/microphone_pcm.js"));
    if (this.#closed) return;
    const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
    const worklet = new AudioWorkletNode(this.#context, "microphone-pcm", mono);
    worklet.port.onmessage = ({ data }) => this.#send(data);
    const lowpass = () => new BiquadFilterNode(this.#context, { type: "lowpass", frequency: HIGHEST_HERTZ });
    this.#context.createMediaStreamSource(stream).connect(lowpass()).connect(lowpass()).connect(worklet);
  }

  #connect(protocols) {
    const url = endpoint("v1/realtime?intent=transcription").replace(/^http/, "ws");
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "session.update", session: this.#session }));
      this.#waiting.splice(0).forEach((piece) => this.#append(piece));
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => this.close();
  }

  #send(samples) {
    if (this.#closed) return;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#append(samples);
    else if (this.#waiting.push(samples) > MAX_WAITING_PIECES) this.close();
  }

  #append(samples) {
    if (this.#socket.bufferedAmount > MAX_WAITING_BYTES) return this.close();
    this.#socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio: base64(samples) }));
  }

  #receive(event) {
    const before = this.#texts.get(event.item_id) ?? "";
    if (event.type === "input_audio_buffer.speech_started") this.#texts.set(event.item_id, before);
    else if (event.type === `${TRANSCRIPTION}.delta`) this.#texts.set(event.item_id, before + event.delta);
    else if (event.type === `${TRANSCRIPTION}.completed`) this.#texts.set(event.item_id, event.transcript);
    else return;
    this.#changed([...this.#texts.values()].map((text) => text.trim()).filter(Boolean).join(" "));
  }
}

/* Browsers can't send headers with a WebSocket: a key travels as a subprotocol, so it is one that expires. */
async function secretProtocol(askKey) {
  const secret = await (await call("v1/realtime/client_secrets", askKey, {})).json();
  return `openai-insecure-api-key.${secret.value}`;
}

function sessionOf({ model, language, prompt }) {
  const transcription = { model, ...(language && { language }), ...(prompt && { prompt }) };
  const input = { format: { type: "audio/pcm", rate: 24_000 }, transcription, turn_detection: { type: "server_vad" } };
  return { type: "transcription", audio: { input } };
}

/* Of samples as the processor has them: little-endian on all that run browsers. */
function base64(samples) {
  return btoa(String.fromCharCode(...new Uint8Array(samples.buffer)));
}
