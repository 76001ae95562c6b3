"""livekit's speech recognition over OpenAI's realtime WebSocket. Prints what it heard as JSON.

python livekit_stt.py BASE_URL RECORDING

It needs packages of its own (requirements.txt) and runs in an environment of its own; `contacted` lists whom
the process spoke to.
"""

import asyncio
import json
import os
import sys
import wave
from typing import Any

BASE_URL, RECORDING = sys.argv[1:]
os.environ.update(NO_PROXY="*", OTEL_SDK_DISABLED="true")
contacted: set[str] = set()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells this of every connection and every name that is looked up."""
    if event == "socket.getaddrinfo":
        contacted.add(str(arguments[0]))
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        contacted.add(str(arguments[1][0]))


sys.addaudithook(note)

from livekit import rtc  # noqa: E402
from livekit.agents.stt import SpeechEventType  # noqa: E402
from livekit.agents.utils import http_context  # noqa: E402
from livekit.plugins import openai  # noqa: E402


def frames() -> list[rtc.AudioFrame]:
    """The recording, a tenth of a second at a time, and a second of silence after it."""
    with wave.open(RECORDING) as file:
        rate, spoken = file.getframerate(), file.readframes(file.getnframes())
    count = rate // 10
    pcm = spoken + bytes(2 * rate)
    pieces = [pcm[start : start + 2 * count] for start in range(0, len(pcm), 2 * count)]
    return [rtc.AudioFrame(piece, rate, 1, len(piece) // 2) for piece in pieces]


async def main() -> None:
    recognizer = openai.STT(model="gpt-4o-transcribe", base_url=BASE_URL, api_key="dummy", use_realtime=True)
    stream = recognizer.stream()
    for frame in frames():
        stream.push_frame(frame)
    events = []
    async for event in stream:
        events.append(event.type.value)
        if event.type is SpeechEventType.FINAL_TRANSCRIPT:
            break
    [best] = event.alternatives
    await stream.aclose()
    print(json.dumps({"events": events, "heard": best.text, "contacted": sorted(contacted)}))


async def in_http_context() -> None:
    """As livekit's own jobs do it: all of its plugins share one HTTP session."""
    async with http_context.open():
        await main()


asyncio.run(in_http_context())
