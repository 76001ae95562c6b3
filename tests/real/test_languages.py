"""A recording in two languages: each piece has its own."""

from dataclasses import astuple

import numpy as np
import pytest

from app.request_context import RequestContext
from app.transcription.request import Chunking, Policy, TranscriptionRequest
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.voice_activity import VoiceActivity
from tests.real import speech
from tests.real.conftest import Pairs
from tests.transcripts import transcribe


def spoken_in(language: str) -> Samples:
    """The clips of one language, one after the other, at least 5 s."""
    clips = tuple(clip for clip in speech.clips() if clip.language == language)
    return speech.one_after_the_other(clips, 5)


@pytest.mark.real
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("other", ["fr", "it"])
def test_each_piece_has_its_own_language(pairs: Pairs, voice_activity: VoiceActivity, other: str) -> None:
    pause = np.zeros(30 * SAMPLE_RATE, np.float32)  # else both would share a piece
    samples = np.concatenate([spoken_in("en"), pause, spoken_in(other)])
    policy = Policy(
        find_speech=lambda samples, chunking: voice_activity.find_speech(samples, *astuple(chunking))
    )
    request = TranscriptionRequest(chunking=Chunking())
    transcript = transcribe(pairs["base"].engine, samples, request, policy, RequestContext.of(600))
    said = [segment.language for segment in transcript.segments if segment.text]
    assert list(dict.fromkeys(said)) == ["en", other]
    assert transcript.language == "en"
