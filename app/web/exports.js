/** A transcript as files, made from what was corrected. */

/** Each format's name, its suffix, its type, and `write(recording)`. */
export const FORMATS = [
  { name: "TXT", suffix: "txt", type: "text/plain;charset=utf-8", write: writeText },
  { name: "SRT", suffix: "srt", type: "application/x-subrip;charset=utf-8", write: writeSubRip },
  { name: "VTT", suffix: "vtt", type: "text/vtt;charset=utf-8", write: writeWebVTT },
  { name: "JSON", suffix: "json", type: "application/json", write: writeJSON },
  { name: "HTML", suffix: "html", type: "text/html;charset=utf-8", write: writeHTML },
  { name: "Markdown", suffix: "md", type: "text/markdown;charset=utf-8", write: writeMarkdown },
];

/** The name of a recording without its suffix, for the file of its text. */
export const stem = (name) => name.replace(/\.[^.\s]{1,8}$/, "") || name;

/** The text alone; a line for each turn where there are speakers. */
export function writeText({ transcript }) {
  return `${turns(transcript).map(({ name, text }) => (name ? `${name}: ${text}` : text)).join("\n")}\n`;
}

function writeSubRip({ transcript }) {
  return cues(transcript)
    .map(({ start, end, text }, index) => `${index + 1}\n${time(start, ",")} --> ${time(end, ",")}\n${text}\n\n`)
    .join("");
}

function writeWebVTT({ transcript }) {
  const lines = cues(transcript).map(({ start, end, text }) => `${time(start, ".")} --> ${time(end, ".")}\n${escaped(text)}\n\n`);
  return `WEBVTT\n\n${lines.join("")}`;
}

function writeJSON({ name, seconds, options, transcript }) {
  const segments = transcript.segments.map(({ start, end, text, speaker, words }) => ({
    start,
    end,
    ...(speaker && { speaker: transcript.nameOf(speaker) }),
    text,
    ...(words.length && { words: words.map((word) => wordOf(word, text)) }),
  }));
  const text = transcript.segments.map((segment) => segment.text).join(" ");
  const language = options.translate ? "en" : options.language;
  return `${JSON.stringify({ name, duration: seconds, ...(language && { language }), text, segments }, null, 2)}\n`;
}

function writeHTML({ name, transcript }) {
  const paragraphs = turns(transcript).map(({ name: speaker, text }) => {
    const who = speaker ? `<strong>${escaped(speaker)}:</strong> ` : "";
    return `<p>${who}${escaped(text)}</p>`;
  });
  const title = escaped(stem(name));
  const head = `<meta charset="utf-8">\n<title>${title}</title>`;
  return `<!doctype html>\n${head}\n<h1>${title}</h1>\n${paragraphs.join("\n")}\n`;
}

function writeMarkdown({ name, transcript }) {
  const paragraphs = turns(transcript).map(({ name: speaker, text }) => (speaker ? `**${plain(speaker)}:** ` : "") + plain(text));
  return `# ${plain(stem(name))}\n\n${paragraphs.join("\n\n")}\n`;
}

/* What somebody said until somebody else did. Without speakers, all of it. */
function turns(transcript) {
  const found = [];
  for (const { speaker, text } of transcript.segments) {
    if (!text) continue;
    const name = transcript.nameOf(speaker);
    if (found.length && found.at(-1).name === name) found.at(-1).text += ` ${text}`;
    else found.push({ name, text });
  }
  return found;
}

function cues(transcript) {
  return transcript.segments
    .filter((segment) => segment.text)
    .map(({ start, end, text, speaker }) => ({
      start,
      end,
      text: (speaker ? `${transcript.nameOf(speaker)}: ${text}` : text).replaceAll("-->", "->"),
    }));
}

function wordOf({ from, to, start, end, probability }, text) {
  return { word: text.slice(from, to), start, end, ...(probability !== undefined && { probability }) };
}

function time(seconds, point) {
  const whole = Math.round(seconds * 1000);
  const parts = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, Math.floor(whole / 1000) % 60];
  return `${parts.map((part) => String(part).padStart(2, "0")).join(":")}${point}${String(whole % 1000).padStart(3, "0")}`;
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const plain = (text) => text.replace(/[\\`*_[\]<>#]/g, "\\$&");
