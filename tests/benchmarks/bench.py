"""Measures this project beside others, and against the limits of the machine.

    make bench                                       all of it; writes docs/speed.md
    python tests/benchmarks/bench.py --parts steps   one part, printed only

Needs scratchvae, torch and jax in one environment, and a machine that does nothing else. Only one
process measures at a time. Those that are compared take turns, A B A B, for seven rounds; of their
rounds the median is given, with the least and the largest, and ratios are ratios of medians.
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
MARK = "<!-- what follows is written by make bench -->"
ROUNDS = 7
SECONDS = 0.5  # about, that one contender has in one round
PAUSE = 0.5  # before it: threads of the one before spin on for a while, waiting for work
BATCHES = (32, 128, 512, 2048)
PEERS = ("torch_eager", "torch_fused", "torch_compiled", "jax_jit")


class Worker:
    """A process that takes steps when it is asked to, and waits in between."""

    def __init__(self, *arguments):
        self.times = []
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.process.stdout.readline() != "\n":
            raise SystemExit(f"{arguments} did not start")
        self.steps = max(3, round(SECONDS / self.measure(5)))

    def measure(self, steps):
        """Seconds of a step."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def in_turns(names, *arguments):
    """Milliseconds of a step: {name: one number a round}."""
    workers = {name: Worker(name, *arguments) for name in names}
    for _ in range(ROUNDS):
        for worker in workers.values():
            time.sleep(PAUSE)
            worker.times.append(1e3 * worker.measure(worker.steps))
    for worker in workers.values():
        worker.stop()
    return {name: worker.times for name, worker in workers.items()}


def run(*command, **environment):
    """Runs a command in a process of its own: seconds, peak memory in MB, what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(c) for c in command], stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def spread(values, digits=2):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratio(ours, theirs):
    return median(ours) / median(theirs)


def table(head, *rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def steps(a):
    """A step of training"""
    names = ("scratchvae", *PEERS, "naive_numpy", "floor")
    times, ratios = [], []
    for batch in BATCHES:
        found = in_turns(names, batch)
        ours = found["scratchvae"]
        times.append([batch, *(spread(found[name]) for name in names)])
        fastest = min((found[name] for name in PEERS), key=median)
        others = fastest, found["torch_eager"], found["naive_numpy"], found["floor"]
        ratios.append([batch, *(f"{ratio(ours, other):.2f}" for other in others)])
        print(*times[-1], sep="   ", file=sys.stderr, flush=True)
    return "\n\n".join(
        (
            "Milliseconds of a step: the median of seven rounds, and their range.",
            table(["batch", *names], *times),
            "This project's step over",
            table(["batch", "fastest framework", "PyTorch eager", "naive NumPy", "floor"], *ratios),
        )
    )


def adam(a):
    """Adam on the 667,248 parameters"""
    found = in_turns(("adam", "adam_torch", "copy"), 0)
    ours, theirs, copy = found.values()
    return table(
        ["", "ms", "this project over it"],
        ["this project", spread(ours, 3), ""],
        ["PyTorch, fused", spread(theirs, 3), f"{ratio(ours, theirs):.2f}"],
        ["its seven passes over memory, copied", spread(copy, 3), f"{ratio(ours, copy):.2f}"],
    )


def command(a):
    """Ten epochs of MNIST, as a whole command"""
    if a.data_dir is None:
        return "Not measured: `--data-dir` was not given."
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(3):
            ours.append(
                run(
                    *(sys.executable, "-m", "scratchvae", "train", "--quiet", "--data", "mnist"),
                    *("--data-dir", a.data_dir, "--latent-dim", "20", "--epochs", "10"),
                    *("--out", f"{folder}/{i}"),
                )
            )
            theirs.append(run(sys.executable, HERE / "torch_mnist.py", a.data_dir))
    rows = []
    for j, (what, unit) in enumerate((("time", "s"), ("peak memory", "MB"))):
        mine, peer = [r[j] for r in ours], [r[j] for r in theirs]
        cells = f"{spread(mine, 1)} {unit}", f"{spread(peer, 1)} {unit}", f"{ratio(mine, peer):.2f}"
        rows.append([what, *cells])
    return table(["three runs each", "this project", "the PyTorch script", "ratio"], *rows)


def start(a):
    """Starting"""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(1e3 * run(sys.executable, "-m", "scratchvae", "--help")[0])
        theirs.append(1e3 * run(sys.executable, "-c", "import numpy")[0])
    cells = f"{spread(ours, 0)} ms", f"{spread(theirs, 0)} ms", f"{ratio(ours, theirs):.2f}"
    return table(["`scratchvae --help`", "`import numpy`", "ratio"], cells)


def bound(a):
    """The importance-weighted bound"""
    rows = []
    for k in (50, 500):
        ours, theirs = [], []
        for _ in range(3):
            for which, found in (("scratchvae", ours), ("torch", theirs)):
                found.append(
                    [*map(float, run(sys.executable, HERE / "nll.py", which, k)[2].split())]
                )
        mine, peer = ([r[0] for r in side] for side in (ours, theirs))
        memory = f"{ours[0][1]:.0f}", f"{theirs[0][1]:.0f}"
        rows.append([k, spread(mine), spread(peer), f"{ratio(mine, peer):.2f}", *memory])
    head = ["K", "this project, s", "PyTorch, s", "ratio", "peak of memory, MB", "of PyTorch's, MB"]
    return table(head, *rows)


def growth(a):
    """Data that grow"""
    sizes, found = (10_000, 100_000, 1_000_000), {}
    for _ in range(3):
        for n in sizes:
            out = run(sys.executable, HERE / "growth.py", n)[2]
            found.setdefault(n, []).append([float(word) for word in out.split()])
    rows = [
        [f"{n:,}", spread([r[0] for r in found[n]], 1), spread([r[1] for r in found[n]], 0)]
        for n in sizes
    ]
    return table(["rows", "microseconds of an example", "memory of its own, MB"], *rows)


PARTS = (steps, adam, command, start, bound, growth)


def machine():
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = cpu.read_text().split("model name\t: ")[1].split("\n")[0]
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("numpy", "torch", "jax"))
    when = time.strftime("%d %B %Y")
    return (
        f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}; {when}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=[f.__name__ for f in PARTS])
    parser.add_argument("--data-dir", help="of MNIST's IDX files, for the whole command")
    a = parser.parse_args()
    chosen = [f for f in PARTS if not a.parts or f.__name__ in a.parts]
    text = "\n\n".join([machine(), *(f"## {f.__doc__}\n\n{f(a)}" for f in chosen)])
    print(text)
    if not a.parts:
        kept = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{kept}{MARK}\n\n{text}\n")


if __name__ == "__main__":
    main()
