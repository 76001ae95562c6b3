"""transformers' settings for a Whisper model of any sizes."""

from typing import Any

from transformers import WhisperConfig
from whisper.model import ModelDimensions

from app.checkpoints.dimensions import Dimensions


def whisper_config(dims: Dimensions | ModelDimensions, **changes: Any) -> WhisperConfig:
    """`changes` are settings that don't follow from the sizes."""
    sizes = {
        "num_mel_bins": dims.n_mels,
        "d_model": dims.n_audio_state,
        "encoder_layers": dims.n_audio_layer,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_ffn_dim": 4 * dims.n_audio_state,
        "vocab_size": dims.n_vocab,
        "decoder_layers": dims.n_text_layer,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_ffn_dim": 4 * dims.n_text_state,
    }
    return WhisperConfig(**sizes | changes)
