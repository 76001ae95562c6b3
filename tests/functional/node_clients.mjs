// Uploads a file of SIZE bytes (its own contents, then zeros) the way Node programs do, COUNT times.
// Prints a JSON list of [status, body], or of [0, error] where there was no answer.
//
//   node node_clients.mjs buffer|stream URL FILE SIZE COUNT
import { readFileSync, createReadStream, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { File } from "node:buffer";
import { tmpdir } from "node:os";
import { join } from "node:path";

// A File in a form, as the OpenAI SDK posts buffers: with a Content-Length.
async function postBuffer(url, bytes) {
  const form = new FormData();
  form.append("file", new File([bytes], "speech.wav"));
  form.append("model", "whisper-1");
  const answer = await fetch(url, { method: "POST", body: form });
  return [answer.status, await answer.json()];
}

// fs.createReadStream in a form, as the OpenAI SDK posts it: chunked, file first.
function postStream(url, path) {
  const headers = { "Content-Type": "multipart/form-data; boundary=xyz" };
  return new Promise((resolve, reject) => {
    const upload = request(url, { method: "POST", headers }, async (answer) => {
      const pieces = await answer.toArray();
      resolve([answer.statusCode, JSON.parse(Buffer.concat(pieces).toString())]);
    });
    upload.on("error", reject);
    upload.write('--xyz\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n');
    upload.write("Content-Type: application/octet-stream\r\n\r\n");
    const file = createReadStream(path);
    file.pipe(upload, { end: false });
    file.on("end", () => {
      upload.write('\r\n--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1');
      upload.end("\r\n--xyz--\r\n");
    });
  });
}

const [way, url, path, size, count] = process.argv.slice(2);
const contents = readFileSync(path);
const bytes = Buffer.concat([contents, Buffer.alloc(Math.max(0, Number(size) - contents.length))]);
const folder = mkdtempSync(join(tmpdir(), "upload-"));
const padded = join(folder, "speech.wav");
writeFileSync(padded, bytes);

const answers = [];
for (let turn = 0; turn < Number(count); turn += 1) {
  const answer = way === "buffer" ? postBuffer(url, bytes) : postStream(url, padded);
  answers.push(await answer.catch((error) => [0, String(error.cause ?? error)]));
}
rmSync(folder, { recursive: true });
console.log(JSON.stringify(answers));
