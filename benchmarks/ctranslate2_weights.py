"""An openai-whisper checkpoint as a folder that faster-whisper opens without asking a hub."""

import json
from pathlib import Path

import torch
import whisper
from ctranslate2.converters.transformers import WhisperLoader
from tokenizers import Tokenizer as FastTokenizer
from transformers import WhisperForConditionalGeneration
from transformers.convert_slow_tokenizer import TikTokenConverter
from whisper import _ALIGNMENT_HEADS
from whisper.model import Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from app.checkpoints.huggingface import stored_name
from benchmarks.transformers_config import whisper_config

_VOCABULARY = Path(whisper.__file__).parent / "assets" / "multilingual.tiktoken"


def convert(checkpoint: Path, size: str, folder: Path) -> None:
    """Write the weights of a multilingual checkpoint as float32, its vocabulary and tokenizer, and the
    alignment heads of the published checkpoint of its size.
    """
    model = whisper.load_model(str(checkpoint), device="cpu")
    model.set_alignment_heads(_ALIGNMENT_HEADS[size])
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    spec = WhisperLoader().get_model_spec(_transformers_model(model))
    fast = _fast_tokenizer(tokenizer)
    spec.register_vocabulary(_tokens(fast))
    spec.config.suppress_ids = list(tokenizer.non_speech_tokens)
    spec.config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    spec.config.lang_ids = list(tokenizer.all_language_tokens)
    spec.config.alignment_heads = model.alignment_heads.indices().T.tolist()
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    fast.save(str(folder / "tokenizer.json"))
    features = {"feature_size": model.dims.n_mels}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))


def _transformers_model(model: Whisper) -> WhisperForConditionalGeneration:
    converted = WhisperForConditionalGeneration(whisper_config(model.dims)).eval()
    weights = {f"model.{stored_name(name)}": tensor for name, tensor in model.state_dict().items()}
    weights["proj_out.weight"] = model.decoder.token_embedding.weight
    with torch.no_grad():
        converted.load_state_dict(weights)
    return converted


def _fast_tokenizer(tokenizer: Tokenizer) -> FastTokenizer:
    encoding = tokenizer.encoding
    special = sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.__getitem__)
    converter = TikTokenConverter(str(_VOCABULARY), encoding._pat_str, extra_special_tokens=special)
    return converter.converted()


def _tokens(tokenizer: FastTokenizer) -> list[str]:
    """The text of each id."""
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)
