"""Measures this project beside others, and against the limits of the machine.

    make bench                                       all of it; writes docs/speed.md
    make bench DATA=DIR BESIDE=DIR                   with MNIST, and beside another checkout
    python tests/benchmarks/bench.py --parts steps   one part, printed only

Needs scratchvae, torch, jax, mpi4py and mpich in one environment, and a machine that does nothing
else. Only one process measures at a time. Those that are compared take turns, A B A B; of their
rounds the median is given, with the least and the largest, and ratios are ratios of medians. Beside
busy processes it is the mean, since the slowest steps are what one waits for there.

Each part returns lines of the first table, with their targets, and a section of details.
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "speed.md"
SUMMARY = "<!-- make bench writes from here -->", "<!-- to here -->"
DETAILS = "<!-- make bench writes what follows -->"
SECONDS = 0.4  # about, that one contender has in one round
PAUSE = 0.3  # before it: threads of the one before spin on for a while, waiting for work
PEERS = {
    "torch_eager": "PyTorch eager, default Adam",
    "torch_fused": "PyTorch eager, fused Adam",
    "torch_compiled": "PyTorch compiled, fused Adam",
    "jax_jit": "JAX, the whole step under `jit`",
}
# by batch, of as many workers as cores
WORKERS = {
    "fastest": ({128: 1.15, 512: 1.05, 2048: 1.10}, 1.0),
    "torch_eager": ({128: 0.80, 512: 0.92, 2048: 0.92}, 0.75),
}
NO_TARGET = {}, None
BUSY = """
import numpy as np
a = np.random.default_rng(0).random((512, 512))
print(flush=True)
while True:
    np.tanh(a @ a, out=a)
"""
CORES = os.cpu_count()


class Row(NamedTuple):
    """A line of the first table: ratios, and for each what it must and should be, or None."""

    what: str
    over: str
    batches: str
    measured: tuple
    must: tuple = (None,)
    aim: tuple = (None,)


class Failed(Exception):
    """A part could not be measured."""


# ------------------------------------------------------------------------------- processes


def environment(tree):
    """That of a process which imports scratchvae from this checkout, and may keep its bytecode."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(tree)}


class Worker:
    """A process that takes steps when it is asked to, and waits in between.

    Its name is a contender's; "workers-N" is N ranks; with "@DIR" after it, of another checkout.
    """

    def __init__(self, name, batch):
        self.times, (kind, _, tree) = [], name.partition("@")
        tree = Path(tree or ROOT)
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", kind, str(batch)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(tree),
        )  # fmt: skip
        self.note = self.read().strip()
        ours = kind == "scratchvae" or kind.startswith("workers-")
        if ours and Path(self.note) != tree / "scratchvae":
            self.stop()
            raise Failed(f"{name} imports {self.note}")
        self.steps = max(3, round(SECONDS / self.measure(5)))

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise Failed(f"{' '.join(map(str, self.process.args[1:]))} ended")
        return line

    def measure(self, steps):
        """Seconds of a step, the mean of so many."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.read())

    def take_turn(self):
        time.sleep(PAUSE)
        self.times.append(1e3 * self.measure(self.steps))

    def stop(self):
        with suppress(BrokenPipeError), self.process:  # closes its pipes, and waits
            pass


@contextmanager
def workers(names, batch):
    """Workers by name, which end with the block."""
    with ExitStack() as stack:
        started = {}
        for name in names:
            started[name] = Worker(name, batch)
            stack.callback(started[name].stop)
        yield started


@contextmanager
def busy(n):
    """n processes beside, each of which keeps a core busy."""
    command, threads = [sys.executable, "-c", BUSY], {"OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:
        beside = []
        for _ in range(n):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads)
            stack.enter_context(process)
            stack.callback(process.kill)
            beside.append(process)
        for process in beside:
            process.stdout.readline()
        yield


def in_turns(names, batch, rounds):
    """Milliseconds of a step, one number a round, and notes: both by name."""
    with workers(names, batch) as started:
        for _ in range(rounds):
            for worker in started.values():
                worker.take_turn()
    return ({name: getattr(w, of) for name, w in started.items()} for of in ("times", "note"))


def run(*command):
    """Run a command: its seconds, its peak of memory in MB (one process's), and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(c) for c in command], stdout=subprocess.PIPE, text=True, env=environment(ROOT)
    )
    with process.stdout:
        out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise Failed(f"`{' '.join(map(str, command[1:]))}` failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def train(folder, n, *options):
    """The command that trains with n workers, or in one process."""
    several = ("--workers", n) if n else ()
    command = (sys.executable, "-m", "scratchvae", "train", "--quiet", "--overwrite")
    return *command, "--out", folder, *options, *several


def family(pid):
    """The numbers of a process and of all that descend from it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            for child in children.read_text().split():
                found += family(int(child))
    return found


def memory(pid):
    """A process's own memory and its PSS in MB: Linux counts a page of n processes as 1/n there."""
    found = {"Anonymous:": 0, "Pss:": 0}
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, kb, _ = line.split()
            found |= {name: int(kb) / 1024}
    return found["Anonymous:"], found["Pss:"]


def memory_of(*command):
    """The peaks of a command's memory, MB: the largest process's own, and the PSS of them all."""
    process = subprocess.Popen([str(c) for c in command], env=environment(ROOT))
    own = whole = 0
    while process.poll() is None:
        found = [memory(pid) for pid in family(process.pid)]
        own = max(own, *(of for of, _ in found))
        whole = max(whole, sum(pss for _, pss in found))
        time.sleep(0.1)
    if process.returncode:
        raise Failed(f"`{' '.join(map(str, command[1:]))}` failed")
    return own, whole


# ---------------------------------------------------------------------------------- tables


def spread(values, digits=2, of=median):
    return f"{of(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratio(ours, theirs, of=median):
    return of(ours) / of(theirs)


def table(head, *rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def listed(batches):
    return ", ".join(map(str, batches))


def targets(values):
    """Targets in one cell: a number once, if it is the same for all batches."""
    shown = ["-" if v is None else f"{v:.2f}" for v in values]
    return "" if {*shown} <= {"-"} else shown[0] if len({*shown}) == 1 else listed(shown)


def meets(measured, target):
    """For each number whether it meets its target, to the two digits that are shown."""
    pairs = zip(measured, target, strict=True)
    return [t is None or round(m, 2) <= t for m, t in pairs]


def verdict(row):
    """Whether the targets of a row are met, in a few words."""
    if all(t is None for t in row.must):
        return ""
    met = meets(row.measured, row.must)
    if not all(met):
        missed = [b for b, m in zip(row.batches.split(", "), met, strict=True) if not m]
        return "missed" if len(met) == 1 else f"missed at {listed(missed)}"
    return "met, and the aim" if all(meets(row.measured, row.aim)) else "met"


def summary(rows):
    """The table that opens the page."""
    head = ["this project's", "over", "batch", "must", "aim", "measured", ""]
    lines = []
    for row in rows:
        measured = f"**{listed(f'{m:.2f}' for m in row.measured)}**"
        goals = targets(row.must), targets(row.aim)
        lines.append([row.what, row.over, row.batches, *goals, measured, verdict(row)])
    return table(head, *lines)


def machine():
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = cpu.read_text().split("model name\t: ")[1].split("\n")[0]
    packages = ("numpy", "torch", "jax", "mpi4py", "mpich")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return f"{model}, {CORES} cores; Python {platform.python_version()}, {versions}; seed 0"


def written(page, top, details):
    """The page with new figures; what is written by hand stays, between them."""
    before, rest = page.split(SUMMARY[0])
    _, after = rest.split(SUMMARY[1])
    by_hand, _ = after.split(DETAILS)
    return f"{before}{SUMMARY[0]}\n\n{top}\n\n{SUMMARY[1]}{by_hand}{DETAILS}\n\n{details}\n"


# ----------------------------------------------------------------------------------- parts


def step_rows(batches, ours, found):
    """Lines of one kind of run over each peer; found: {batch: {name: ms}}"""
    kind, n, _ = kind_of(ours)
    peers = {"fastest": "fastest of the four below", **PEERS}
    for batch in batches:
        found[batch]["fastest"] = min((found[batch][peer] for peer in PEERS), key=median)
    for peer, text in peers.items():
        goals, aim = WORKERS.get(peer, NO_TARGET) if n == CORES else NO_TARGET
        must = tuple(goals.get(batch) for batch in batches)
        aims = tuple(aim if batch in goals else None for batch in batches)
        measured = tuple(ratio(found[batch][ours], found[batch][peer]) for batch in batches)
        yield Row(f"step, {kind}", text, listed(batches), measured, must, aims)


def kind_of(name):
    """workers-2@DIR  ->  `--workers 2`, 2, DIR"""
    name, _, tree = name.partition("@")
    n = int(name.removeprefix("workers-")) if name.startswith("workers-") else 0
    return f"`--workers {n}`" if n else "one process", n, tree


def steps(a):
    """A step of training"""
    ours = ["scratchvae", *(f"workers-{n}" for n in a.workers)]
    older = [f"{name}@{a.beside}" for name in ours] if a.beside else []
    names = [*ours, *older, *PEERS, "naive_numpy", "floor"]
    found, lines, ratios, single = {}, [], [], []
    for batch in a.batches:
        found[batch], notes = in_turns(names, batch, a.rounds)
        of = found[batch]
        lines.append([batch, *(spread(of[name]) for name in names)])
        print(*lines[-1], sep="   ", file=sys.stderr, flush=True)
        for name in ours:
            over = (f"{ratio(of[name], of[other]):.2f}" for other in ("naive_numpy", "floor"))
            ratios.append([kind_of(name)[0], batch, *over])
        single += [f"{name} at {batch}" for name in PEERS if notes[name] == "1"]
    rows = [row for name in reversed(ours) for row in step_rows(a.batches, name, found)]
    for name, old in zip(ours, older, strict=False):
        kind, n, tree = kind_of(old)
        goals = ((None,), (None,)) if n else ((0.93,), (0.88,))
        goals = (goal * len(a.batches) for goal in goals)
        same = tuple(ratio(found[batch][name], found[batch][old]) for batch in a.batches)
        rows.append(Row(f"step, {kind}", f"{commit(tree)}", listed(a.batches), same, *goals))
    head = [name.replace(f"@{a.beside}", ", before") for name in names]
    faster = f"One thread was faster than {CORES} for: {listed(single) or 'none'}."
    return rows, "\n\n".join(
        (
            f"Milliseconds of a step: the median of {a.rounds} rounds, and their range. {faster}",
            table(["batch", *head], *lines),
            "This project's step over a naive NumPy version, and over the floor:",
            table(["", "batch", "naive NumPy", "floor"], *ratios),
        )
    )


def commit(tree):
    """The commit of another checkout, in words."""
    command = ["git", "-C", tree, "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"its own at commit {done.stdout.strip()}" if done.returncode == 0 else f"that of {tree}"


def beside(a):
    """Beside busy processes"""
    ours = ["scratchvae", *(f"workers-{n}" for n in a.workers)]
    peers, loads = ("torch_eager", "jax_jit"), ("quiet", "one busy process", "two busy processes")
    batches, found, lines = a.batches[1:3] or a.batches, {}, []
    for batch in batches:
        with workers((*ours, *peers), batch) as started:
            for _ in range(max(1, a.rounds // 2)):
                for n, load in enumerate(loads):
                    with busy(n):
                        for name, worker in started.items():
                            worker.take_turn()
                            found.setdefault((name, batch, load), []).append(worker.times[-1])
        for name in started:
            times = [found[name, batch, load] for load in loads]
            slower = (f"{ratio(t, times[0], mean):.2f}" for t in times[1:])
            lines.append([batch, name, *(spread(t, of=mean) for t in times), *slower])
            print(*lines[-1], sep="   ", file=sys.stderr, flush=True)
    rows = []
    for load in loads[1:]:
        for name in reversed(ours):
            kind, n, _ = kind_of(name)
            what = f"step beside {load}, {kind}"
            for other, text in ((name, "the same, quiet"), *((p, PEERS[p]) for p in peers)):
                with_it = loads[0] if other == name else load
                measured = tuple(
                    ratio(found[name, batch, load], found[other, batch, with_it], mean)
                    for batch in batches
                )
                aimed = other == name and n == CORES and load == loads[1]
                goals = ((g if aimed else None,) * len(batches) for g in (2.2, 2.0))
                text = text if other == name else f"{text}, beside it"
                rows.append(Row(what, text, listed(batches), measured, *goals))
    text = (
        "Milliseconds of a step, the mean of the rounds, and their range. A busy process keeps one "
        f"core busy with NumPy; there are {CORES}."
    )
    head = ["batch", "", *loads, "one / quiet", "two / quiet"]
    return rows, f"{text}\n\n{table(head, *lines)}"


def adam(a):
    """Adam on the 667,248 parameters"""
    found, _ = in_turns(("adam", "adam_torch", "copy"), 0, a.rounds)
    ours, theirs, copy = found.values()
    return [], table(
        ["", "ms", "this project over it"],
        ["this project", spread(ours, 3), ""],
        ["PyTorch, fused", spread(theirs, 3), f"{ratio(ours, theirs):.2f}"],
        ["its seven passes over memory, copied", spread(copy, 3), f"{ratio(ours, copy):.2f}"],
    )


def command(a):
    """Ten epochs of MNIST, as a whole command"""
    if a.data_dir is None:
        raise Failed("`--data-dir` was not given")
    data = ("--data", "mnist", "--data-dir", a.data_dir, "--latent-dim", 20, "--epochs", 10)
    found = {name: [] for name in ("the PyTorch script", "one process", *a.workers)}
    rounds = min(a.rounds, 2)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, runs in found.items():
                if name == "the PyTorch script":
                    whole = (sys.executable, HERE / "torch_mnist.py", a.data_dir)
                else:
                    whole = train(folder, name if name in a.workers else 0, *data)
                runs.append(run(*whole))
    script, alone, *_ = found.values()
    rows, lines = [], []
    for name, runs in found.items():
        seconds, peaks = ([r[i] for r in runs] for i in (0, 1))
        kind = f"`--workers {name}`" if name in a.workers else name
        lines.append([kind, spread(seconds, 1), "" if name in a.workers else spread(peaks, 0)])
        if runs is not script:
            goals = ((g if name == CORES else None,) for g in (0.70, 0.60))
            measured = (ratio(seconds, [r[0] for r in script]),)
            what = f"ten epochs of MNIST as a command, {kind}"
            rows.insert(0, Row(what, "the PyTorch script", "128", measured, *goals))
    measured = (ratio(*([r[1] for r in runs] for runs in (alone, script))),)
    rows.append(Row("its peak of memory, one process", "the PyTorch script", "128", measured))
    head = [f"{rounds} runs each, in turns", "seconds", "peak of memory, MB"]
    return rows, table(head, *lines)


def start(a):
    """Starting"""
    ours, theirs = [], []
    for _ in range(3 * a.rounds + 1):
        ours.append(1e3 * run(sys.executable, "-m", "scratchvae", "--help")[0])
        theirs.append(1e3 * run(sys.executable, "-c", "import numpy")[0])
    del ours[0], theirs[0]  # the first run compiles
    row = Row("`scratchvae --help`", "`import numpy`", "", (ratio(ours, theirs),), (1.6,), (1.4,))
    cells = f"{spread(ours, 0)} ms", f"{spread(theirs, 0)} ms"
    return [row], table(["`scratchvae --help`", "`import numpy`"], cells)


def beside_torch(what, rounds):
    """Seconds and MB of this project's and of PyTorch's, a pair a round, by nll.py."""
    found = {"scratchvae": [], "torch": []}
    for _ in range(rounds):
        for which, runs in found.items():
            out = run(sys.executable, HERE / "nll.py", which, what)[2]
            runs.append([float(word) for word in out.split()])
    return found.values()


def readings(a, wanted, head):
    """Lines and details of (argument of nll.py, its name in the table, must, aim)."""
    rows, lines = [], []
    for argument, name, *goals in wanted:
        sides = beside_torch(argument, min(a.rounds, 3))
        (mine, own), (peer, theirs) = (zip(*side, strict=True) for side in sides)
        peaks = (f"{median(side):.0f}" for side in (own, theirs))
        rows.append(Row(name, "PyTorch", "", (ratio(mine, peer),), *((g,) for g in goals)))
        lines.append([argument, spread(mine, 3), spread(peer, 3), *peaks])
    units = "this project, s", "PyTorch, s", "peak of memory, MB", "PyTorch's, MB"
    return rows, table([head, *units], *lines)


def bound(a):
    """The importance-weighted bound of 1,000 rows"""
    wanted = ((k, f"importance-weighted bound, K = {k}", 0.7, 0.5) for k in (50, 500))
    return readings(a, wanted, "K")


def reading(a):
    """Scores, codes and means of 10,000 rows"""
    names = {"elbo": "`score_samples`", "encode": "`encode`", "decode": "`decode`"}
    wanted = ((key, f"{name} of 10,000 rows", None, None) for key, name in names.items())
    return readings(a, wanted, "")


def growth(a):
    """Data that grow"""
    sizes, found = (10_000, 100_000, 1_000_000), {}
    for _ in range(min(a.rounds, 3)):
        for n in sizes:
            out = run(sys.executable, HERE / "growth.py", n)[2]
            found.setdefault(n, []).append([float(word) for word in out.split()])
    times = {n: [r[0] for r in runs] for n, runs in found.items()}
    lines = [[f"{n:,}", spread(times[n], 1), spread([r[1] for r in found[n]], 0)] for n in sizes]
    measured = (ratio(times[1_000_000], times[10_000]),)
    row = Row("time of an example of 1,000,000", "of 10,000", "128", measured, (1.1,), (1.05,))
    return [row], table(["rows", "microseconds of an example", "memory of its own, MB"], *lines)


def footprint(a):
    """Memory of the workers"""
    import numpy as np

    rows, lines, peaks = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        X = np.random.default_rng(0).integers(0, 256, (50_000, 784), dtype=np.uint8)
        np.save(f"{folder}/x.npy", X)
        for n in (0, *a.workers):
            options = ("--data", f"{folder}/x.npy", "--epochs", 1)
            peaks[n] = memory_of(*train(f"{folder}/run", n, *options))
            kind = f"`--workers {n}`" if n else "one process"
            lines.append([kind, *(f"{mb:.0f}" for mb in peaks[n])])
            if n:
                for i, what in enumerate(("own memory of a worker", "memory of all processes")):
                    measured = (peaks[n][i] / peaks[0][i],)
                    rows.append(Row(f"{what}, {kind}", "one process", "128", measured))
    text = (
        f"An epoch of 50,000 rows of a .npy file of {X.nbytes / 1e6:.0f} MB. Own memory is neither "
        "shared with other processes nor backed by a file; in the sum, shared pages count once."
    )
    head = ["", "own memory of the largest process, MB", "sum of all processes, MB"]
    return rows, f"{text}\n\n{table(head, *lines)}"


PARTS = (steps, beside, command, start, bound, reading, growth, footprint, adam)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=[f.__name__ for f in PARTS])
    parser.add_argument("--data-dir", help="of MNIST's IDX files, for the whole command")
    parser.add_argument("--beside", type=Path, help="another checkout, whose step is measured too")
    parser.add_argument("--workers", type=int, nargs="+", default=[CORES], metavar="N")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512, 2048], metavar="B")
    parser.add_argument("--rounds", type=int, default=7, help="of the longer parts, fewer")
    a = parser.parse_args()
    a.beside = a.beside and a.beside.resolve()
    rows, sections, failed, began = [], [], [], time.perf_counter()
    for part in PARTS:
        if a.parts and part.__name__ not in a.parts:
            continue
        print(f"{time.perf_counter() - began:4.0f} s  {part.__doc__}", file=sys.stderr, flush=True)
        try:
            lines, details = part(a)
        except Failed as error:
            lines, details = [], f"Not measured: {error}."
            failed.append(f"Not measured: {part.__doc__[0].lower()}{part.__doc__[1:]}.")
        rows += lines
        sections.append(f"### {part.__doc__}\n\n{details}")
    when = time.strftime("%d %B %Y").lstrip("0")
    minutes = (time.perf_counter() - began) / 60
    how = f"Measured on {when}, in {minutes:.0f} minutes: {machine()}."
    top, details = "\n\n".join([summary(rows), *failed, how]), "\n\n".join(sections)
    print(f"{top}\n\n{details}")
    if not a.parts:
        PAGE.write_text(written(PAGE.read_text(), top, details))
    raise SystemExit(min(len(failed), 1))


if __name__ == "__main__":
    main()
