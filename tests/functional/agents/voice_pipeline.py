"""OpenAI's Agents SDK: one question by voice, through its VoicePipeline. Prints what came of it as JSON.

python voice_pipeline.py BASE_URL RECORDING whole|streamed

`streamed` sends the recording piece by piece through a realtime session, `whole` in one request.

It needs packages of its own (requirements.txt) and runs in an environment of its own. Its traces would go to
OpenAI, so they are switched off before it is imported; `contacted` lists whom the process spoke to.
"""

import asyncio
import json
import os
import sys
import wave
from typing import Any

BASE_URL, RECORDING, WAY = sys.argv[1:]
os.environ.update(
    OPENAI_BASE_URL=BASE_URL, OPENAI_API_KEY="dummy", OPENAI_AGENTS_DISABLE_TRACING="1", NO_PROXY="*"
)
RATE = 24_000
contacted: set[str] = set()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells this of every connection and every name that is looked up."""
    if event == "socket.getaddrinfo":
        contacted.add(str(arguments[0]))
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        contacted.add(str(arguments[1][0]))


sys.addaudithook(note)

import numpy as np  # noqa: E402
from agents import Agent  # noqa: E402
from agents.voice import (  # noqa: E402
    AudioInput,
    SingleAgentVoiceWorkflow,
    SingleAgentWorkflowCallbacks,
    StreamedAudioInput,
    VoicePipeline,
)


class Heard(SingleAgentWorkflowCallbacks):
    """Keeps what the agent is asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_run(self, workflow: SingleAgentVoiceWorkflow, transcription: str) -> None:
        self.texts.append(transcription)


def spoken() -> AudioInput:
    with wave.open(RECORDING) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return AudioInput(samples, frame_rate=file.getframerate(), channels=file.getnchannels())


async def streamed() -> StreamedAudioInput:
    """The recording, a tenth of a second at a time, in the 24 kHz that the SDK says it is."""
    speech, pieces = spoken(), StreamedAudioInput()
    count = len(speech.buffer) * RATE // speech.frame_rate
    times = np.arange(len(speech.buffer)) / speech.frame_rate
    samples = np.interp(np.arange(count) / RATE, times, speech.buffer).astype(np.int16)
    for start in range(0, count, RATE // 10):
        await pieces.add_audio(samples[start : start + RATE // 10])
    await pieces.add_audio(None)
    return pieces


async def main() -> None:
    heard = Heard()
    agent = Agent(name="Assistant", instructions="Answer briefly.", model="gpt-4o-mini")
    speech = await streamed() if WAY == "streamed" else spoken()
    result = await VoicePipeline(workflow=SingleAgentVoiceWorkflow(agent, heard)).run(speech)
    samples, events = 0, []
    async for event in result.stream():
        if event.type == "voice_stream_event_audio":
            samples += len(event.data)
        elif event.type == "voice_stream_event_lifecycle":
            events.append(event.event)
        else:
            events.append(f"error: {event.error!r}")
    answer = {"heard": heard.texts, "samples": samples, "events": events, "contacted": sorted(contacted)}
    print(json.dumps(answer | {"said": result.total_output_text}))


asyncio.run(main())
