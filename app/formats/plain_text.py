"""response_format=text: the text alone."""

from app.formats.render_options import RenderOptions
from app.formats.wire import well_formed
from app.transcript import Transcript


def render(transcript: Transcript, _options: RenderOptions) -> str:
    """The text and a single newline."""
    return well_formed(transcript.text.strip()) + "\n"
