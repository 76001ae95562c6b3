/** Plays a recording: a waveform up to ten minutes, above that a plain timeline. */
import { byId } from "./dom.js";
import { clock, say } from "./i18n.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";

const WAVEFORM_SECONDS = 600;
/* Decoding an hour takes a browser over 1 GB. */
const DECODED_HERTZ = 8000;
const STEP_SECONDS = 5;

/** `hear(seconds)` is called while it plays and after every move; `beside(seconds, steps)` finds a segment. */
export class Player {
  #audio = new Audio();
  #wave = null;
  #url = "";
  #seconds = 0;
  #shown = 0;
  #actions;
  #frame = 0;

  constructor(actions) {
    this.#actions = actions;
    const audio = this.#audio;
    for (const type of ["play", "pause", "ended"]) audio.addEventListener(type, () => this.#renderButton());
    for (const type of ["timeupdate", "seeked"]) audio.addEventListener(type, () => this.#hear());
    audio.addEventListener("play", () => this.#follow());
    audio.addEventListener("loadedmetadata", () => this.#renderTime());
    audio.addEventListener("error", () => audio.getAttribute("src") && this.#refuse("player.unplayable"));
    byId("play").onclick = () => this.toggle();
    byId("position").oninput = ({ target }) => this.seek(Number(target.value));
    byId("speed").onchange = ({ target }) => this.#setSpeed(target.value);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Loads a file of so many seconds; without a file, says that there is none. */
  async load(file, seconds) {
    this.clear();
    const shown = this.#shown;
    this.#seconds = seconds || 0;
    if (!file) return this.#refuse("player.absent");
    byId("player").hidden = false;
    byId("player-problem").hidden = true;
    this.#url = URL.createObjectURL(file);
    this.#audio.src = this.#url;
    this.#setSpeed(byId("speed").value);
    this.#renderTime();
    const short = seconds && seconds <= WAVEFORM_SECONDS;
    byId("position").hidden = Boolean(short);
    byId("waveform").hidden = !short;
    if (short) await this.#drawWaveform(file, shown);
  }

  clear() {
    this.#shown += 1;
    this.#audio.pause();
    this.#audio.removeAttribute("src");
    this.#wave?.destroy();
    this.#wave = null;
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    byId("player").hidden = true;
    byId("player-problem").hidden = true;
  }

  playFrom(seconds) {
    if (!this.#url) return;
    this.seek(seconds);
    this.#audio.play().catch(() => {});
  }

  seek(seconds) {
    this.#audio.currentTime = Math.min(Math.max(seconds, 0), this.#duration);
    this.#hear();
  }

  toggle() {
    if (this.#audio.paused) this.#audio.play().catch(() => {});
    else this.#audio.pause();
  }

  pause() {
    this.#audio.pause();
  }

  /* The browser's number is infinite for what MediaRecorder made. */
  get #duration() {
    const { duration } = this.#audio;
    return Number.isFinite(duration) ? duration : this.#seconds;
  }

  async #drawWaveform(file, shown) {
    try {
      const decoder = new OfflineAudioContext(1, 1, DECODED_HERTZ);
      const decoded = await decoder.decodeAudioData(await file.arrayBuffer());
      if (shown !== this.#shown) return;
      const style = getComputedStyle(document.documentElement);
      this.#wave = WaveSurfer.create({
        container: byId("waveform"),
        media: this.#audio,
        peaks: [decoded.getChannelData(0)],
        duration: decoded.duration,
        height: 64,
        barWidth: 2,
        barGap: 1,
        barRadius: 2,
        normalize: true,
        waveColor: style.getPropertyValue("--wave").trim(),
        progressColor: style.getPropertyValue("--pico-primary").trim(),
        cspNonce: document.querySelector("link[nonce]").nonce,
      });
    } catch {
      byId("position").hidden = false;
      byId("waveform").hidden = true;
    }
  }

  #refuse(reason) {
    byId("player").hidden = true;
    byId("player-problem").textContent = say(reason);
    byId("player-problem").hidden = false;
  }

  #setSpeed(value) {
    this.#audio.defaultPlaybackRate = Number(value);
    this.#audio.playbackRate = Number(value);
  }

  #follow() {
    cancelAnimationFrame(this.#frame);
    const step = () => {
      this.#hear();
      if (!this.#audio.paused) this.#frame = requestAnimationFrame(step);
    };
    this.#frame = requestAnimationFrame(step);
  }

  #hear() {
    this.#renderTime();
    this.#actions.hear(this.#audio.currentTime);
  }

  #renderTime() {
    const position = byId("position");
    const now = this.#audio.currentTime;
    position.max = this.#duration;
    position.value = now;
    position.setAttribute("aria-valuetext", clock(now));
    const text = `${clock(now)} / ${clock(this.#duration)}`;
    if (byId("time").textContent !== text) byId("time").textContent = text;
  }

  #renderButton() {
    const playing = !this.#audio.paused;
    byId("play").setAttribute("aria-label", say(playing ? "player.pause" : "player.play"));
    byId("play").classList.toggle("playing", playing);
  }

  #key(event) {
    const typing = event.target.closest("input, select, textarea, dialog, summary, [contenteditable]");
    if (!this.#url || typing || byId("player").closest("[hidden]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.closest("button, a")) return;
    const now = this.#audio.currentTime;
    const actions = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.seek(now - STEP_SECONDS),
      ArrowRight: () => this.seek(now + STEP_SECONDS),
      ArrowUp: () => this.seek(this.#actions.beside(now, -1)),
      ArrowDown: () => this.seek(this.#actions.beside(now, 1)),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}
