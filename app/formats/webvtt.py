"""response_format=vtt: WebVTT subtitles."""

from app.formats.clock import timestamp
from app.formats.cues import Cue, cues
from app.formats.render_options import RenderOptions
from app.formats.wire import well_formed
from app.transcript import Transcript


def render(transcript: Transcript, options: RenderOptions) -> str:
    """The header and unnumbered cues, hours always written as whisper-1 does."""
    return well_formed("WEBVTT\n\n" + "".join(map(_block, cues(transcript, options))))


def _block(cue: Cue) -> str:
    start, end = timestamp(cue.start_seconds, "."), timestamp(cue.end_seconds, ".")
    return f"{start} --> {end}\n{cue.text}\n\n"
