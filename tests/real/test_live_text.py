"""Text while somebody speaks, with OpenAI's own weights: what is sent early, and that it stays.

Spoken on a simulated clock on which each look takes the same time, so that no figure depends on the machine.
"""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from benchmarks.live_text import LONG_SECONDS, Offline, Utterance
from benchmarks.speech import SAMPLES_VARIABLE, Recording
from tests.real import speech
from tests.real.conftest import Pairs

pytestmark = [pytest.mark.real, pytest.mark.timeout(3_600)]

LOOK_SECONDS = 0.5
"""About what a look takes one core with `base`."""


@pytest.fixture(scope="module")
def offline(pairs: Pairs) -> Offline:
    return Offline(pairs["base"].engine, LOOK_SECONDS)


def spoken(offline: Offline, recordings: Iterable[Recording]) -> list[Utterance]:
    """Each recording as an utterance. What was sent of it is never taken back."""
    found = [offline.utterance(recording, "full", sessions=1) for recording in recordings]
    for utterance in found:
        for before, after in pairwise(sent.text for sent in utterance.sent):
            assert after.startswith(before)
            assert len(after) > len(before)
    return found


def test_what_people_say_is_sent_while_they_speak(offline: Offline) -> None:
    """Nine in ten join to the transcript; half of the words of those over 5 s are sent before their end."""
    if not speech.human():
        pytest.skip(f"{SAMPLES_VARIABLE} names no recordings of people, and others tell nothing of the rates")
    found = spoken(offline, speech.human())
    assert sum(utterance.is_prefix for utterance in found) >= 0.9 * len(found), differing(found)
    long = [utterance for utterance in found if utterance.seconds > LONG_SECONDS]
    words = sum(utterance.words for utterance in long)
    assert words > 0
    assert sum(len(utterance.latencies()) for utterance in long) >= 0.5 * words


def test_the_text_of_synthesized_clips_is_only_added_to(offline: Offline) -> None:
    """Whether it joins to the transcript is not asked: fewer of these do than of people's utterances."""
    clips = [clip for clip in speech.clips() if clip.language == "en"]
    assert any(utterance.sent for utterance in spoken(offline, clips))


def differing(utterances: Iterable[Utterance]) -> list[tuple[str, str]]:
    """What was sent and the transcript, where they differ."""
    return [(each.text_sent, each.final) for each in utterances if not each.is_prefix]
