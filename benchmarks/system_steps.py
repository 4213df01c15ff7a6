"""Every system that is trained: seconds a step and an epoch, peak memory, and the same beside it in plain torch.

    python -m benchmarks.system_steps                                   # Baby's interactions, all systems
    python -m benchmarks.system_steps --systems vbpr,bm3 --dims 64
    python -m benchmarks.system_steps --clock cpu                       # on a machine that others use too

Content is synthetic, 4,096-d visual and 384-d textual. Each system is measured at each width, and its plain form
(plain_systems.py) at the first, each in a process of its own, and these take turns: some steps each, `--repeats` times,
so that a busy spell of the machine meets all. A step is the median of all, an epoch is its preparation (views, mined
graphs), its first step, which may differ, and the median step for the others. Drawing the batches, the same for both
sides, and validation are in none. The peak is the process's most resident memory, with Python, libraries and data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from benchmarks.measuring import arguments, chosen, print_table, write_json
from benchmarks.plain_systems import PLAIN
from benchmarks.workloads import SIZES

Figures = dict[str, float]


class Worker:
    """A system at a width, or its plain form, in a process of its own."""

    def __init__(self, system: str, dim: int, *, plain: bool, data: str, batch_size: int, threads: int | None) -> None:
        command = [sys.executable, "-m", "benchmarks.system_worker", "--data", data, f"--batch-size={batch_size}"]
        command += ["--keys", json.dumps({"name": system, "dim": dim}), *(["--plain"] if plain else [])]
        command += [f"--threads={threads}"] if threads else []
        self.name = f"{system}, {dim}{', plain' if plain else ''}"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.facts = self._answer()
        self.epochs: list[dict[str, Figures]] = []
        self.steps: list[Figures] = []

    def measure(self, steps: int) -> None:
        """Begin an epoch, and take some steps of it."""
        self.epochs.append(self._ask("epoch"))
        self.steps += self._ask(str(steps))

    def figures(self, clock: str) -> Figures:
        """The medians, and the peak; ends the process."""
        step = median(seconds[clock] for seconds in self.steps)
        begin, first = (median(epoch[part][clock] for epoch in self.epochs) for part in ("begin", "first"))
        assert self.process.stdin is not None
        self.process.stdin.close()
        epoch = begin + first + (self.facts["steps_per_epoch"] - 1) * step
        return {"step": step, "begin": begin, "first": first, "epoch": epoch, **self._answer()}

    def _ask(self, line: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        # What a library prints on the way is no answer
        line = next((line for line in self.process.stdout if line.startswith(("{", "["))), "")
        if not line:
            raise SystemExit(f"the process of {self.name} ended; what it said is above")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()


def measure(system: str, options: Any) -> dict[str, Any]:
    """A system's figures by width, and the plain form's."""
    settings = {"data": options.data, "batch_size": options.batch_size, "threads": options.threads}
    with ExitStack() as stack:
        sides = {str(dim): stack.enter_context(Worker(system, dim, plain=False, **settings)) for dim in options.dims}
        if not options.no_plain:
            sides["plain"] = stack.enter_context(Worker(system, options.dims[0], plain=True, **settings))
        for _ in range(options.repeats):
            for side in sides.values():
                side.measure(options.steps)
        facts = next(iter(sides.values())).facts
        return {**facts, "sides": {name: side.figures(options.clock) for name, side in sides.items()}}


def row(system: str, result: dict[str, Any], dims: list[int]) -> list[str]:
    """A line of the table."""
    sides = result["sides"]
    mine, widest = sides[str(dims[0])], sides[str(dims[-1])]
    cells = [system]
    plain = sides.get("plain")
    for part, scale in (("step", 1000), ("epoch", 1)):  # milliseconds, seconds
        cells.append(f"{scale * mine[part]:.3g}")
        cells += [f"{scale * plain[part]:.3g}", f"{plain[part] / mine[part]:.2f}"] if plain else ["", ""]
    return [
        *cells,
        f"{mine['peak_gib']:.2f}",
        *((f"{widest['step'] / mine['step']:.2f}", f"{widest['peak_gib']:.2f}") if len(dims) > 1 else ("", "")),
    ]


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--data", choices=SIZES, default="baby")
    parser.add_argument("--systems", default="all", help=f"by commas, of {', '.join(PLAIN)} [%(default)s]")
    parser.add_argument("--dims", default="64,256", help="widths by commas; the first also of the plain form")
    parser.add_argument("--batch-size", type=int, default=4096, help="[%(default)s]")
    parser.add_argument("--steps", type=int, default=3, help="steps a repeat, beside an epoch's first [%(default)s]")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="which seconds [%(default)s]")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain forms out")
    options = chosen(parser)
    options.dims = [int(dim) for dim in options.dims.split(",")]
    systems = list(PLAIN) if options.systems == "all" else options.systems.split(",")
    results = {}
    for system in systems:
        results[system] = measure(system, options)
        print(f"{system}: {json.dumps(results[system]['sides'])}", file=sys.stderr, flush=True)
    first, last = options.dims[0], options.dims[-1]
    title = (
        f"A step in ms, an epoch in s ({options.clock}) on {options.data} ({next(iter(results.values()))['note']}, "
        f"random content), batch {options.batch_size}, width {first}; plain / this; a step at {last} over one at "
        f"{first}; peaks"
    )
    columns = ["", "step", "plain", "/", "epoch", "plain", "/", "GiB", f"{last} / {first}", f"GiB, {last}"]
    print_table(title, columns, [row(system, result, options.dims) for system, result in results.items()])
    path = options.json or Path("runs") / f"system_steps-{options.data}.json"
    settings = {"batch_size": options.batch_size, "dims": options.dims, "clock": options.clock}
    write_json(path, {"title": title, **settings, "results": results})


if __name__ == "__main__":
    main()
