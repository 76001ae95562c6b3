from pathlib import Path

import numpy as np
import pytest

from app.waveform import SAMPLE_RATE, STEP, Samples
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import VoiceActivity
from app.waveform.voice_stream import VoiceStream

DATA = Path(__file__).resolve().parents[2] / "data"


class CountedModel:
    """Counts the runs of silero's model, and the frames in them."""

    def __init__(self, activity: VoiceActivity) -> None:
        self.runs = self.frames = self.most_frames = 0
        self._run = activity._session.run

    def __call__(self, outputs, inputs):
        self.runs += 1
        self.frames += len(inputs["input"])
        self.most_frames = max(self.most_frames, len(inputs["input"]))
        return self._run(outputs, inputs)


@pytest.fixture(scope="module")
def activity() -> VoiceActivity:
    return VoiceActivity()


@pytest.fixture
def model(activity: VoiceActivity) -> CountedModel:
    return CountedModel(activity)


def said() -> Samples:
    with (DATA / "flagship.wav").open("rb") as file:
        return read_audio(file, AudioLimits()) * STEP


def streamed(stream: VoiceStream, samples: Samples, size: int) -> list[float]:
    pieces = (samples[first : first + size] for first in range(0, len(samples), size))
    return [probability for piece in pieces for probability in stream.probabilities(piece)]


@pytest.mark.parametrize("size", [100, 320, 512, 1_600, 100_000])
def test_pieces_of_any_size_give_the_probabilities_of_the_whole(activity: VoiceActivity, size: int) -> None:
    samples = said()
    whole = np.concatenate(list(activity._probabilities(samples))).reshape(-1)
    found = streamed(activity.stream(), samples, size)
    assert len(found) == len(samples) // 512
    np.testing.assert_allclose(found, whole[: len(found)], atol=1e-5)


def test_silence_runs_the_model_once_a_frame_at_most(model: CountedModel) -> None:
    stream = VoiceStream(model)
    silence = np.zeros(10 * SAMPLE_RATE, np.float32)
    assert max(streamed(stream, silence, 320)) < 0.1  # 20 ms, less than a frame, as browsers send it
    assert model.runs == model.frames == 312
    model.runs = 0
    streamed(stream, silence, 1_600)
    assert model.runs == 100  # a call for each 100 ms, of three or four frames


def test_no_run_is_long(model: CountedModel) -> None:
    VoiceStream(model).probabilities(np.zeros(60 * SAMPLE_RATE, np.float32))
    assert (model.frames, model.most_frames) == (1_875, 32)


def test_an_incomplete_frame_runs_nothing(model: CountedModel) -> None:
    stream = VoiceStream(model)
    assert stream.probabilities(np.zeros(511, np.float32)) == []
    assert stream.probabilities(np.zeros(0, np.float32)) == []
    assert model.runs == 0
    assert len(stream.probabilities(np.zeros(1, np.float32))) == 1


def test_a_reset_forgets_everything(activity: VoiceActivity) -> None:
    samples, stream = said()[:20_000], activity.stream()
    first = stream.probabilities(samples)
    stream.reset()
    assert stream.probabilities(samples) == first
