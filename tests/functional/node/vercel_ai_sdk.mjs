// The Vercel AI SDK. Prints what a call gave as JSON, or the error it raised.
//
//   node vercel_ai_sdk.mjs BASE_URL CALL < JOB
import { readFileSync } from "node:fs";
import { File } from "node:buffer";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe, generateText, streamText } from "ai";

globalThis.File ??= File; // Node 18 has it, but not as a global

const [baseURL, call] = process.argv.slice(2);
const { model, path, options } = JSON.parse(readFileSync("/dev/stdin", "utf8"));
const openai = createOpenAI({ baseURL, apiKey: "dummy" });
const audio = () => readFileSync(path);

const spokenMessage = () => ({
  model: openai.chat(model),
  maxRetries: 0,
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "What is in this recording?" },
        { type: "file", mediaType: "audio/wav", data: audio() },
      ],
    },
  ],
});

const calls = {
  async transcribe() {
    const request = { model: openai.transcription(model), audio: audio(), maxRetries: 0 };
    if (options) request.providerOptions = { openai: options };
    const { text, segments, language, durationInSeconds, responses } = await experimental_transcribe(request);
    return { answer: { text, segments, language, durationInSeconds }, body: responses[0].body };
  },
  async chat() {
    const { text, finishReason, usage, response } = await generateText(spokenMessage());
    return { answer: { text, finishReason, usage }, body: response.body };
  },
  async streamResponse() {
    const errors = [];
    const streamed = streamText({
      model: openai(model),
      prompt: "What is it about?",
      maxRetries: 0,
      onError: ({ error }) => errors.push(described(error)),
    });
    const pieces = [];
    for await (const piece of streamed.textStream) pieces.push(piece);
    if (errors.length) return { error: errors[0] };
    return { answer: { pieces, finishReason: await streamed.finishReason, usage: await streamed.usage } };
  },
  async streamChat() {
    const streamed = streamText({ ...spokenMessage(), onError: () => {} });
    const pieces = [];
    for await (const piece of streamed.textStream) pieces.push(piece);
    return { answer: { pieces, finishReason: await streamed.finishReason, usage: await streamed.usage } };
  },
};

function described(error) {
  const { name, message, statusCode, responseBody } = error;
  return { name, message, statusCode, responseBody };
}

const result = await calls[call]().catch((error) => ({ error: described(error) }));
console.log(JSON.stringify(result));
