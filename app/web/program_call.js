/** The call that gives the same text, for curl and for OpenAI's SDK. */
import { endpoint, key } from "./api.js";
import { requestOf } from "./attempt.js";

/** For a shell. The page's stream is left out: a program can wait for the whole answer. */
export function curlCall({ name, options }) {
  const { path, fields } = requestOf(options);
  const lines = [`curl ${quoted(endpoint(path))}`];
  if (key.get()) lines.push('-H "Authorization: Bearer $OPENAI_API_KEY"');
  for (const [field, value] of unstreamed(fields)) lines.push(`-F ${quoted(`${field}=${value}`)}`);
  const fileName = name.replace(/["\\]/g, "\\$&");
  lines.push(`-F ${quoted(`file=@"${fileName}"`)}`);
  return lines.join(" \\\n  ");
}

export function sdkCall({ name, options }) {
  const { path, fields } = requestOf(options);
  const values = {};
  for (const [field, value] of unstreamed(fields)) {
    if (field.endsWith("[]")) (values[field.slice(0, -2)] ??= []).push(value);
    else values[field] = value;
  }
  const keyValue = key.get() ? 'os.environ["OPENAI_API_KEY"]' : '"not-checked"';
  const method = path.split("/").at(-1);
  return [
    ...(key.get() ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(endpoint("v1"))}, api_key=${keyValue})`,
    `with open(${JSON.stringify(name)}, "rb") as file:`,
    `    answer = client.audio.${method}.create(`,
    "        file=file,",
    ...Object.entries(values).map(([field, value]) => `        ${field}=${JSON.stringify(value)},`),
    "    )",
    "print(answer.text)",
  ].join("\n");
}

const unstreamed = (fields) => fields.filter(([field]) => field !== "stream");

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
