"""The settings of realtime sessions."""

from dataclasses import dataclass

from app.setting_field import setting

REALTIME_LIMITS = (
    "realtime_sessions",
    "realtime_sessions_per_key",
    "realtime_sending",
    "realtime_idle_seconds",
    "realtime_session_seconds",
)
"""Settings that must be more than 0."""


@dataclass(frozen=True, kw_only=True)
class RealtimeSettings:
    """The part of Settings that is about [realtime sessions](docs/realtime.md)."""

    realtime_sessions: int = setting(
        "WHISPER_REALTIME_SESSIONS", 200, "[Realtime](realtime.md) sessions open at a time in each worker."
    )
    realtime_sessions_per_key: int = setting(
        "WHISPER_REALTIME_SESSIONS_PER_KEY",
        100,
        "The same for one API key, or one address where no key is required.",
    )
    realtime_sending: int = setting(
        "WHISPER_REALTIME_SENDING", 16, "Realtime sessions that send audio at a time in each worker."
    )
    realtime_idle_seconds: int = setting(
        "WHISPER_REALTIME_IDLE_SECONDS", 600, "Seconds until a realtime session that sends nothing is closed."
    )
    realtime_session_seconds: int = setting(
        "WHISPER_REALTIME_SESSION_SECONDS", 3_600, "Maximum length of a realtime session, in seconds."
    )
    realtime_secret: str = setting(
        "WHISPER_REALTIME_SECRET",
        "",
        "Signs [client secrets](realtime.md#several-instances): the same for all instances, or `@FILE`. "
        "Empty = each draws its own.",
        secret=True,
    )
