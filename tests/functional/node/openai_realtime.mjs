// OpenAI's Node SDK in a realtime session over TLS: one utterance. Prints the types of the events that came
// and what was understood as JSON.
//
//   node openai_realtime.mjs BASE_URL CERTIFICATE < AUDIO     (16-bit PCM, 24 kHz)
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [baseURL, certificate] = process.argv.slice(2);
const audio = readFileSync("/dev/stdin");
const client = new OpenAI({ baseURL, apiKey: "dummy" });
const realtime = new OpenAIRealtimeWS({ model: "gpt-4o-transcribe", options: { ca: readFileSync(certificate) } }, client);
const types = [];

const input = { format: { type: "audio/pcm", rate: 24_000 }, transcription: { model: "gpt-4o-transcribe" }, turn_detection: null };
const PIECE_BYTES = 48_000;

realtime.on("event", ({ type }) => types.push(type));
realtime.on("session.created", () =>
  realtime.send({ type: "session.update", session: { type: "transcription", audio: { input } } }),
);
realtime.on("session.updated", () => {
  for (let start = 0; start < audio.length; start += PIECE_BYTES) {
    const piece = audio.subarray(start, start + PIECE_BYTES).toString("base64");
    realtime.send({ type: "input_audio_buffer.append", audio: piece });
  }
  realtime.send({ type: "input_audio_buffer.commit" });
});
realtime.on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
  realtime.close();
  console.log(JSON.stringify({ types, transcript }));
});
const fail = (reason) => {
  console.error(reason);
  process.exit(1);
};
realtime.on("conversation.item.input_audio_transcription.failed", fail);
realtime.on("error", fail);
