"""An hour's worth of mixed traffic, and whether the server stays exact, alive and as small as it was.

So many requests as come in `--minutes` at 4 a second, sent as fast as they are answered and for no
longer than that. They are drawn from a seed: whole answers in every format, streams, chats, words,
translations, probes, clients that leave, and requests that no client should send. Every answer whose
text is known must be that text. Prints a table in Markdown; exits with 1 if anything was wrong.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event

from benchmarks.soak_visitor import SCENARIOS, Visitor
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.malformed import Malformer
from tests.functional.process_state import ProcessState, at_rest

RATE = 4
"""Requests per second of the hour that this stands for."""

CLIENTS = 8
MAX_GROWTH_MB = 64
SETTLE_SECONDS = 30
WARM = 0.25
"""The share of the traffic after which the server should have all the memory that it needs."""


@dataclass
class Findings:
    """What a soak has seen. `states` are the worker's: before, warmed up, and after the traffic."""

    asked: int
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    states: list[ProcessState] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def faults(self) -> list[str]:
        """All that must not be, in words."""
        before, warm, after = self.states
        leaks = {
            f"memory grew by {after.resident_mb - warm.resident_mb:.0f} MiB": (
                after.resident_mb > warm.resident_mb + MAX_GROWTH_MB
            ),
            "temporary files stayed open": after.temporary_files > before.temporary_files,
            "file descriptors stayed open": after.descriptors > before.descriptors,
            # Gunicorn keeps the threads that it needed at once
            "threads were left behind": after.threads > before.threads + 2 * CLIENTS,
        }
        return [*self.wrong, *(leak for leak, found in leaks.items() if found)]


def table(findings: Findings) -> str:
    """Markdown: what was sent, and what the worker held."""
    rows = [
        f"{findings.answered.total()} of {findings.asked} requests in {findings.seconds:.0f} s: "
        + ", ".join(f"{count} {name}" for name, count in sorted(findings.answered.items())),
        "",
        "| | memory | threads | descriptors | temporary files |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, state in zip(("before", "warmed up", "after"), findings.states, strict=True):
        cells = (state.threads, state.descriptors, state.temporary_files)
        rows.append(f"| {name} | {state.resident_mb:.0f} MiB | {' | '.join(map(str, cells))} |")
    return "\n".join([*rows, "", *(findings.faults or ["Nothing was wrong."])])


class Soak:
    """One run: `requests` in number, all of them made from `seed`."""

    def __init__(self, server: GunicornServer, requests: int, seed: int, most_seconds: float) -> None:
        self._server = server
        self._seed = seed
        self._malformed = Malformer(seed)
        self._deadline = time.monotonic() + most_seconds
        self._over = Event()
        self.findings = Findings(requests)
        with closing(Visitor(server)) as first:
            self._known = {name: scenario(first) for name, (scenario, _) in SCENARIOS.items()}

    def run(self) -> Findings:
        """Send everything, and look at the worker in between."""
        started = time.monotonic()
        [worker] = self._server.workers
        before = ProcessState.of(worker)
        warm = round(WARM * self.findings.asked)
        self._send(range(warm))
        between = at_rest(worker, before.descriptors, SETTLE_SECONDS)
        self._send(range(warm, self.findings.asked))
        self.findings.states += [before, between, at_rest(worker, before.descriptors, SETTLE_SECONDS)]
        self.findings.seconds = time.monotonic() - started
        self._look_at_the_end(worker)
        return self.findings

    def _send(self, numbers: Sequence[int]) -> None:
        shares = [numbers[client::CLIENTS] for client in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self._visit, shares))

    def _visit(self, numbers: Sequence[int]) -> None:
        with closing(Visitor(self._server)) as visitor:
            for number in numbers:
                if time.monotonic() > self._deadline:
                    return
                self._ask(visitor, number)

    def _ask(self, visitor: Visitor, number: int) -> None:
        weights = [weight for _, weight in SCENARIOS.values()]
        [name] = Random(f"{self._seed}/{number}").choices([*SCENARIOS, "malformed"], [*weights, 20])
        try:
            if name == "malformed":
                visitor.malformed(self._malformed(number))
            elif (heard := SCENARIOS[name][0](visitor)) != self._known[name]:
                self.findings.wrong.append(f"request {number}, {name}: {heard!r} for {self._known[name]!r}")
        except Exception as error:  # whatever goes wrong is what is looked for
            self.findings.wrong.append(f"request {number}, {name}: {error!r}")
        self.findings.answered[name] += 1

    def _look_at_the_end(self, worker: int) -> None:
        if self._server.workers != [worker]:
            self.findings.wrong.append("the worker died")
        if "Traceback" in self._server.log:
            self.findings.wrong.append(f"there is a traceback in the log:\n{self._server.log[-5_000:]}")


def main(arguments: list[str] | None = None) -> None:
    """Soak a server with the demo model. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="whose requests are sent (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic (1)")
    options = parser.parse_args(arguments)
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder, GunicornServer(Path(folder) / "server.log") as server:
        soak = Soak(server.wait_until_ready(), round(RATE * seconds), options.seed, seconds)
        findings = soak.run()
    print(table(findings))
    if findings.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
