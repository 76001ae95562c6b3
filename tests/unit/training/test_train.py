"""A real training run of about a minute: its loss falls, and whisper takes its checkpoint."""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
import whisper

from training import pack, schedule, synthesize, train
from training.batches import BatchMaker
from training.synthesize import Corpus
from training.vocabulary import Vocabulary

STEPS = 60
pytestmark = pytest.mark.timeout(900)  # a minute of one core, but cores are shared


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.pkl"
    synthesize.main([str(path), "--english", "300", "--german", "60", "--flite", "2"])
    return path


@pytest.fixture(scope="module")
def run_folder(corpus_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    arguments = [str(folder), "--corpus", str(corpus_path), "--steps", str(STEPS), "--warmup-steps", "15"]
    train.main(arguments)
    return folder


def read_losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "share"), [("decoder", 0.7), ("phoneme", 0.6), ("word", 0.65), ("attention", 0.7)]
)
def test_losses_fall(run_folder: Path, loss: str, share: float) -> None:
    rows = read_losses(run_folder)
    values = [float(row[loss]) for row in rows if row["kind"] == "single"]
    assert len(rows) == STEPS
    assert median(values[-8:]) < share * median(values[:4])


@pytest.mark.slow
def test_every_kind_of_window_is_trained(run_folder: Path) -> None:
    assert {row["kind"] for row in read_losses(run_folder)} == {"single", "several", "full"}


@pytest.mark.slow
def test_whisper_loads_and_runs_the_packed_checkpoint(run_folder: Path, tmp_path: Path) -> None:
    checkpoint, packed = run_folder / "checkpoint.pt", tmp_path / "packed.pt"
    pack.pack(checkpoint, packed)
    stored = torch.load(checkpoint, weights_only=True)["model_state_dict"]
    deflated = torch.load(packed, weights_only=True)["model_state_dict"]
    assert stored.keys() == deflated.keys()
    assert all(torch.equal(stored[name], deflated[name]) for name in stored)
    model = whisper.load_model(str(packed), device="cpu")
    mel = whisper.log_mel_spectrogram(np.zeros(480_000, np.float32))
    result = whisper.decode(model, mel, whisper.DecodingOptions(language="en", fp16=False, sample_len=20))
    used = set(Vocabulary.load(run_folder / "vocabulary.json").tokens)
    assert model.is_multilingual
    assert set(result.tokens) <= used


@pytest.mark.slow
def test_a_run_goes_on_from_an_earlier_one(run_folder: Path, corpus_path: Path, tmp_path: Path) -> None:
    arguments = ["--corpus", str(corpus_path), "--resume", str(run_folder), "--start", "0.9", "--steps", "3"]
    train.main([str(tmp_path), *arguments, "--mix", "final", "--learning-rate", "1e-5"])
    first = float(read_losses(tmp_path)[0]["word"])
    assert first < 0.8 * float(read_losses(run_folder)[0]["word"])
    assert (tmp_path / "vocabulary.json").read_text() == (run_folder / "vocabulary.json").read_text()


@pytest.mark.slow
def test_the_same_seed_draws_the_same_batches(corpus_path: Path) -> None:
    corpus = Corpus.load(corpus_path)
    vocabulary = Vocabulary.of(corpus.utterances)
    makers = [BatchMaker(corpus, vocabulary, seed=3) for _ in range(2)]
    one, other = (maker.draw("several", prompt_share=1.0) for maker in makers)
    assert all(
        torch.equal(torch.as_tensor(value), torch.as_tensor(vars(other)[name]))
        for name, value in vars(one).items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "several", "full"])
def test_batches_are_consistent(corpus_path: Path, kind: str) -> None:
    corpus = Corpus.load(corpus_path)
    batch = BatchMaker(corpus, Vocabulary.of(corpus.utterances), seed=4).draw(kind)
    size, _, frames = batch.mel.shape
    assert batch.rows.shape == batch.targets.shape == batch.spans.shape[:2]
    assert batch.phonemes.shape == batch.words.shape == (size, frames // 2)
    assert batch.start + frames // 2 <= 1500
    assert batch.spans.dtype == torch.float32


def test_schedule_ends_low_and_starts_by_warming_up() -> None:
    assert schedule.learning_rate_factor(0.0, step=0, warmup_steps=10) == pytest.approx(0.1)
    assert schedule.learning_rate_factor(0.2, step=50, warmup_steps=10) == 1
    assert schedule.learning_rate_factor(1.0, step=50, warmup_steps=10) == pytest.approx(0.02)


@pytest.mark.parametrize(
    "arguments", [[], ["out"], ["out", "--corpus", "c.pkl"], ["out", "--corpus", "c", "--mix", "x"]]
)
def test_wrong_arguments_end_with_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.parse_arguments(arguments)
    assert "usage: python -m training.train" in capsys.readouterr().err
