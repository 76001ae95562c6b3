"""How a device decodes: the one place where a processor and a GPU differ in types, attention and steps."""

from dataclasses import dataclass

import torch

from app.engines.batched.batch import Batch
from app.engines.batched.decoder import Decoder
from app.engines.batched.graphs import Capture, GraphedDecoder, GraphedSelection, capture_graph
from app.engines.batched.token_rules import RowStates, Vocabulary
from app.engines.batched.weights import DecoderWeights


@dataclass(frozen=True)
class Backend:
    """`dtype`: of weights and activations. `capture` makes a decoding step of fixed size and memory
    replayable; without it steps run as they are.
    """

    device: torch.device
    dtype: torch.dtype
    capture: Capture | None = None

    def new_batch(self, weights: DecoderWeights, vocabulary: Vocabulary, rows: int, context: int) -> Batch:
        """An empty batch of at most `rows` rows; half of the `context` is for the text."""
        states = RowStates(rows, vocabulary, context // 2, self.device)
        if self.capture is None:
            return Batch(Decoder(weights, rows, context), states)
        decoder = GraphedDecoder(weights, rows, context, self.capture)
        return Batch(decoder, states, GraphedSelection(decoder, states, self.capture))


def backend_of(device: torch.device, precision: str) -> Backend:
    """The backend of a torch device. `precision` `bfloat16` is for GPUs alone; any other one is float16."""
    if device.type == "cpu":
        return Backend(device, torch.float32)
    return Backend(device, torch.bfloat16 if precision == "bfloat16" else torch.float16, capture_graph)
