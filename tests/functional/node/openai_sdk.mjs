// OpenAI's Node SDK. Prints what a call gave as JSON, or the error it raised.
//
//   node openai_sdk.mjs BASE_URL CALL < JOB
import { createReadStream, readFileSync } from "node:fs";
import { File } from "node:buffer";
import { basename } from "node:path";
import OpenAI, { toFile } from "openai";

globalThis.File ??= File; // Node 18 has it, but not as a global

const [baseURL, call] = process.argv.slice(2);
const { source, path, options = {} } = JSON.parse(readFileSync("/dev/stdin", "utf8"));
const client = new OpenAI({ baseURL, apiKey: "dummy", maxRetries: 0 });

const sources = {
  readStream: () => createReadStream(path),
  file: () => new File([readFileSync(path)], basename(path), { type: "audio/webm;codecs=opus" }),
  quotedFile: () => new File([readFileSync(path)], 'say "hello".wav'),
  buffer: () => toFile(readFileSync(path), "speech.mp3"),
  namelessBuffer: () => toFile(readFileSync(path)),
  response: () => new Response(readFileSync(path), { headers: { "Content-Type": "audio/wav" } }),
};

const upload = async () => ({ model: "whisper-1", ...options, file: await sources[source]() });
const withRequestId = (answer) => ({ answer, requestId: answer._request_id });

async function events(stream) {
  const seen = [];
  for await (const event of stream) seen.push(event);
  return { answer: seen };
}

const calls = {
  transcribe: async () => withRequestId(await client.audio.transcriptions.create(await upload())),
  translate: async () => withRequestId(await client.audio.translations.create(await upload())),
  streamTranscript: async () =>
    events(await client.audio.transcriptions.create({ ...(await upload()), stream: true })),
  chat: async () => withRequestId(await client.chat.completions.create(options)),
  streamChat: async () => events(await client.chat.completions.create({ ...options, stream: true })),
  speak: async () => {
    const response = await client.audio.speech.create(options);
    const sound = Buffer.from(await response.arrayBuffer()).toString("base64");
    return { answer: { type: response.headers.get("content-type"), sound } };
  },
  listModels: async () => events(await client.models.list()),
  retrieveModel: async () => withRequestId(await client.models.retrieve(options.model)),
};

function described(error) {
  const { name, status, type, code, param, message, requestID, error: body } = error;
  return { class: error.constructor.name, name, status, type, code, param, message, requestID, body };
}

const result = await calls[call]().catch((error) => ({ error: described(error) }));
console.log(JSON.stringify(result));
