"""response_format=text: the transcript and nothing else."""

from app.formats.wire import well_formed
from app.formats.wishes import Wishes
from app.transcript import Transcript


def render(transcript: Transcript, _wishes: Wishes) -> str:
    """The text and a single newline."""
    return well_formed(transcript.text.strip()) + "\n"
