import pytest

from app.errors import SpeechTooLong, SynthesisFailure
from app.synthesis.encoded_speech import EncodedSpeech
from app.waveform.encode import ENCODINGS
from tests.scripted_synthesizer import RATE, SAMPLES_PER_CHARACTER, ScriptedSynthesizer


def spoken(text: str, synthesizer: ScriptedSynthesizer, form: str = "pcm") -> EncodedSpeech:
    return EncodedSpeech(synthesizer.speak(text, "alloy"), ENCODINGS[form])


def test_pieces_and_tokens() -> None:
    speaking = spoken("abcdefghijk", ScriptedSynthesizer())
    assert speaking.audio_tokens == 0
    pieces = list(speaking.pieces())
    assert len(pieces) > 1
    assert sum(map(len, pieces)) == 11 * SAMPLES_PER_CHARACTER * 2
    assert speaking.audio_tokens == 2  # 0.11 s, ten tokens a second, rounded up
    assert speaking.mimetype == "audio/pcm"


@pytest.mark.parametrize("form", ENCODINGS)
def test_nothing_to_say_is_a_little_silence(form: str) -> None:
    speaking = spoken("...", ScriptedSynthesizer(), form)
    data = b"".join(speaking.pieces())
    assert data
    assert speaking.audio_tokens == 0
    if form == "pcm":
        assert data == bytes(RATE // 10 * 2)


def test_what_breaks_off_is_raised() -> None:
    synthesizer = ScriptedSynthesizer(breaks=SynthesisFailure("No."))
    speaking = spoken("ab", synthesizer)
    with pytest.raises(SynthesisFailure):
        list(speaking.pieces())
    speaking.close()
    assert synthesizer.open == 0


@pytest.mark.parametrize("form", ENCODINGS)
def test_the_time_that_a_text_may_take(form: str) -> None:
    just = EncodedSpeech(ScriptedSynthesizer().speak("a" * 100, "alloy"), ENCODINGS[form], most_seconds=1)
    assert b"".join(just.pieces())
    assert just.seconds == 1.0
    longer = EncodedSpeech(ScriptedSynthesizer().speak("a" * 101, "alloy"), ENCODINGS[form], most_seconds=1)
    with pytest.raises(SpeechTooLong, match="more than 1 seconds to say") as caught:
        list(longer.pieces())
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "input", "invalid_value")
