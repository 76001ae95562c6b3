/** Records the microphone, and shows its level. */
import { byId } from "./dom.js";
import { clock, language, say } from "./i18n.js";

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const SUFFIXES = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg" };

/**
 * `done(file)` is called with each recording; `file.seconds` is its length. `listen(stream)` is called when it
 * begins; what it gives is closed when it ends.
 */
export class Recorder {
  #actions;
  #recorder = null;

  constructor(actions) {
    this.#actions = actions;
    byId("record").onclick = () => (this.#recorder ? this.#recorder.stop() : this.#start());
  }

  async #start() {
    this.#explain("");
    if (!window.isSecureContext || !navigator.mediaDevices) return this.#explain(say("record.insecure"));
    byId("record").disabled = true;
    try {
      this.#record(await navigator.mediaDevices.getUserMedia({ audio: true }));
    } catch (error) {
      this.#explain(reasonOf(error));
    } finally {
      byId("record").disabled = false;
    }
  }

  #record(stream) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    const pieces = [];
    const began = performance.now();
    const meter = new LevelMeter(stream, byId("level"));
    const listener = this.#actions.listen(stream);
    const ticking = setInterval(() => this.#renderTime((performance.now() - began) / 1000), 250);
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.onstop = () => {
      clearInterval(ticking);
      meter.close();
      listener.close();
      stream.getTracks().forEach((track) => track.stop());
      this.#recorder = null;
      this.#render();
      this.#actions.done(fileOf(pieces, recorder.mimeType, (performance.now() - began) / 1000));
    };
    // Where the microphone is unplugged, what was recorded by then is kept.
    stream.getAudioTracks()[0].onended = () => recorder.state === "recording" && recorder.stop();
    recorder.start(1000);
    this.#recorder = recorder;
    this.#render();
    this.#renderTime(0);
  }

  #render() {
    const recording = this.#recorder !== null;
    byId("record-text").textContent = say(recording ? "record.stop" : "record.start");
    byId("record").setAttribute("aria-pressed", recording);
    byId("recording").hidden = !recording;
  }

  #renderTime(seconds) {
    byId("recording-time").textContent = say("record.running", { time: clock(seconds) });
  }

  #explain(reason) {
    byId("record-problem").textContent = reason;
    byId("record-problem").hidden = !reason;
  }
}

function reasonOf(error) {
  if (error.name === "NotAllowedError") return say("record.denied");
  if (error.name === "NotFoundError") return say("record.missing");
  return say("record.failed", { reason: error.message });
}

function fileOf(pieces, mimeType, seconds) {
  const type = mimeType.split(";")[0];
  const date = new Date().toLocaleString(language, { dateStyle: "short", timeStyle: "medium" }).replace(/[/:]/g, "-");
  const file = new File(pieces, `${say("record.name", { date })}.${SUFFIXES[type] ?? "audio"}`, { type });
  return Object.assign(file, { seconds });
}

/** The loudest sample of each frame, on a meter from 0 to 1. */
class LevelMeter {
  #context = new AudioContext();
  #frame = 0;

  constructor(stream, meter) {
    const analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const step = () => {
      analyser.getFloatTimeDomainData(samples);
      meter.value = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      this.#frame = requestAnimationFrame(step);
    };
    step();
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.#context.close();
  }
}
