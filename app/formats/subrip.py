"""response_format=srt: SubRip subtitles."""

from app.formats.clock import timestamp
from app.formats.cues import Cue, cues
from app.formats.render_options import RenderOptions
from app.formats.wire import well_formed
from app.transcript import Transcript


def render(transcript: Transcript, options: RenderOptions) -> str:
    """Numbered cues, from 1; an empty body if there is no speech."""
    numbered = enumerate(cues(transcript, options), start=1)
    return well_formed("".join(_block(number, cue) for number, cue in numbered))


def _block(number: int, cue: Cue) -> str:
    start, end = timestamp(cue.start_seconds, ","), timestamp(cue.end_seconds, ",")
    return f"{number}\n{start} --> {end}\n{cue.text}\n\n"
