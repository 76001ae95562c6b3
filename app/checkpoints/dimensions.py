"""The sizes of a Whisper model, and the tensors that it is made of, under openai-whisper's names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from app.errors import CheckpointError

Shape = tuple[int, ...]

AUDIO_CONTEXT = 1500
"""Encoder positions in a window of 30 s."""
MELS = (80, 128)
"""Bands of the log-mel spectrograms that openai-whisper computes."""
VOCABULARIES = {51864: "English only", 51865: "99 languages", 51866: "100 languages"}
"""Tokens of OpenAI's tokenizers."""

_MAX_SIZE = 100_000
_MAX_LAYERS = 256


@dataclass(frozen=True)
class Dimensions:
    """The fields of openai-whisper's `ModelDimensions`."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @classmethod
    def of(cls, values: Mapping[str, object], path: Path) -> "Dimensions":
        """Sizes that a file states. Raises CheckpointError unless they are those of a Whisper model."""
        names = [field.name for field in fields(cls)]
        numbers: dict[str, int] = {}
        for name in names:
            value = values.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_SIZE:
                raise CheckpointError(
                    f"{path} is no Whisper checkpoint: its {name} is {value!r}, not a whole number from 1 to "
                    f"{_MAX_SIZE}; bring weights of a Whisper model."
                )
            numbers[name] = value
        dimensions = cls(**numbers)
        dimensions.check(path)
        return dimensions

    @property
    def is_multilingual(self) -> bool:
        """Whether it knows other languages than English."""
        return self.n_vocab >= 51865

    @property
    def num_languages(self) -> int:
        """How many languages its tokenizer has, as openai-whisper counts them."""
        return self.n_vocab - 51765 - self.is_multilingual

    def check(self, path: Path) -> None:
        """Raise CheckpointError unless this program can compute with a model of these sizes."""
        if self.n_vocab not in VOCABULARIES:
            known = ", ".join(f"{tokens} ({what})" for tokens, what in VOCABULARIES.items())
            raise CheckpointError(
                f"{path} has a vocabulary of {self.n_vocab} tokens, but OpenAI's have {known}; "
                "bring a model that was trained with an unchanged tokenizer."
            )
        for problem in self._problems():
            raise CheckpointError(
                f"{path} can't be served: {problem}; bring weights with the sizes of a Whisper model."
            )

    def _problems(self) -> Iterator[str]:
        if self.n_mels not in MELS:
            yield f"it has {self.n_mels} mel bands, not {' or '.join(map(str, MELS))}"
        if self.n_audio_ctx != AUDIO_CONTEXT:
            yield f"its encoder has {self.n_audio_ctx} positions, not {AUDIO_CONTEXT}"
        if self.n_audio_state != self.n_text_state:
            yield f"encoder and decoder are {self.n_audio_state} and {self.n_text_state} wide"
        if self.n_audio_state % self.n_audio_head or self.n_text_state % self.n_text_head:
            yield f"a width of {self.n_audio_state} can't be shared out to its attention heads"
        if max(self.n_audio_layer, self.n_text_layer) > _MAX_LAYERS:
            yield f"it has more than {_MAX_LAYERS} layers"

    def shapes(self) -> dict[str, Shape]:
        """Every tensor of openai-whisper's state dict and its shape."""
        state, shapes = self.n_audio_state, dict[str, Shape]()
        shapes["encoder.positional_embedding"] = (self.n_audio_ctx, state)
        shapes |= _layer("encoder.conv1", (state, self.n_mels, 3))
        shapes |= _layer("encoder.conv2", (state, state, 3))
        for layer in range(self.n_audio_layer):
            shapes |= _block(f"encoder.blocks.{layer}", state, ("attn",))
        shapes |= _norm("encoder.ln_post", state)
        shapes["decoder.positional_embedding"] = (self.n_text_ctx, state)
        shapes["decoder.token_embedding.weight"] = (self.n_vocab, state)
        for layer in range(self.n_text_layer):
            shapes |= _block(f"decoder.blocks.{layer}", state, ("attn", "cross_attn"))
        return shapes | _norm("decoder.ln", state)

    def require(self, path: Path, found: Mapping[str, Shape]) -> None:
        """Raise CheckpointError unless `found` are the model's tensors and no others, each of its shape."""
        expected = self.shapes()
        if problem := next(_differences(expected, found), None):
            raise CheckpointError(
                f"{path} is not the whole of a Whisper model: {problem}; copy all of its files anew, "
                "or bring weights whose parts fit together."
            )


def _differences(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> Iterator[str]:
    for name, shape in expected.items():
        if name not in found:
            yield f"the tensor {name} is missing"
        elif found[name] != shape:
            yield f"the tensor {name} is {_drawn(found[name])}, not {_drawn(shape)}"
    yield from (f"there is no tensor {name!r} in one" for name in found if name not in expected)


def _drawn(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _layer(name: str, shape: Shape) -> dict[str, Shape]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, state: int) -> dict[str, Shape]:
    return _layer(name, (state,))


def _block(name: str, state: int, attentions: Iterable[str]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for attention in attentions:
        for layer in ("query", "value", "out"):
            shapes |= _layer(f"{name}.{attention}.{layer}", (state, state))
        shapes[f"{name}.{attention}.key.weight"] = (state, state)
        shapes |= _norm(f"{name}.{attention}_ln", state)
    shapes |= _layer(f"{name}.mlp.0", (4 * state, state))
    shapes |= _layer(f"{name}.mlp.2", (state, 4 * state))
    return shapes | _norm(f"{name}.mlp_ln", state)
