"""Public code under the checker, beside PyTorch's and beside a truth found without either.

    python tests/benchmarks/wild.py DIR [--only NAME] [--json FILE]

DIR holds snapshots of public repositories, in folders named OWNER+REPO; a file COMMIT in such a
folder says which. Nothing is downloaded: a code base that is missing is named and left out. The
pairs stand in the modules of the folder `wild`, one for each code base, with what is known of those
whose gradients are wrong. PyTorch, thinc and scikit-learn are used where they are installed.

Each gradient is compared with the complex step or with Ridders' differences (wild/truth.py), and is
wrong if it differs by more than ten times their error. Then `scratchvae.gradcheck.check` and
`torch.autograd.gradcheck` judge it at their defaults, with inputs in float64. A right pair that is
rejected is a false alarm, a wrong one that passes is a false pass.

Prints Markdown: a row for each code base, both checkers side by side, and every pair that is wrong
or judged wrongly.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import metadata
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT)]

from benchmarks.wild import truth  # noqa: E402

import scratchvae  # noqa: E402
from scratchvae.gradcheck import check  # noqa: E402
from scratchvae.gradcheck.pair import Raised, called  # noqa: E402

SECONDS = 60  # for each pair and checker
UNKNOWN = 1e-2  # a truth with a larger relative error is none
GOOD = ("PASS", "KINK", "ACCEPTED")
OURS, TORCH = "ms", "torch ms"  # the times in a row
NOTHING = r": (relative error [^;]*; )?(\d+ of \d+ entries were compared)?$"  # no name
PLACE = "slices? .* wrong|the others are right"  # says where a gradient is wrong, and not why


class TooLate(BaseException):
    """No Exception: a checker must not take it for one of the function under test."""


@contextmanager
def time_limit(seconds):
    def stop(*_):
        raise TooLate

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limited(function):
    """(result or None, milliseconds of this process, what went wrong)."""
    start = time.process_time()
    try:
        with time_limit(SECONDS) if hasattr(signal, "SIGALRM") else nullcontext():
            result, said = called("it", function), ""
    except TooLate:
        result, said = None, f"took more than {SECONDS} s"
    except Raised as error:
        result, said = None, error.what or str(error)
    return result, 1e3 * (time.process_time() - start), said


def judged_by_truth(pair):
    """Leaves that are wrong, with their relative errors, and how that was found."""
    inputs = {n: np.array(x) for n, x in pair.inputs.items()}
    y = np.asarray(pair.f(**inputs))
    dy = np.random.default_rng(3).standard_normal(y.shape)
    gradients = pair.backward(dy.astype(y.dtype), **inputs)
    wrong, methods, unknown = {}, set(), False
    for name, given in gradients.items():
        if inputs[name].dtype.kind != "f":
            continue
        entries, exact, error, method = truth.gradient(pair.f, inputs, name, dy)
        methods.add(method)
        g = np.zeros(inputs[name].shape) if given is None else np.asarray(given, float)
        if g.shape != inputs[name].shape and g.size != inputs[name].size:
            wrong[name] = np.inf
            continue
        g = g.ravel()[entries]
        # gradients below this are zeros that were rounded
        floor = 1e-9 * np.abs(dy * y).sum() / max(np.abs(inputs[name]).max(initial=0), 1e-3)
        size = max(np.abs(exact).max(initial=0), np.abs(g).max(initial=0), floor, 1e-300)
        off = np.abs(g - exact).max(initial=0) / size
        dtypes = y.dtype, getattr(given, "dtype", y.dtype)
        digits = max(np.finfo(d).eps for d in dtypes if d.kind == "f")
        if not error <= UNKNOWN * size:
            unknown = True
        elif not off <= 10 * error / size + 1e3 * digits:
            wrong[name] = float(off)
    return wrong, "+".join(sorted(methods)), unknown and not wrong


def by_torch(torch, pair):
    """Whether torch.autograd.gradcheck accepts the pair."""
    first = pair.f(**pair.inputs)
    known = pair.backward(np.ones_like(first), **pair.inputs)
    names = [n for n in known if known[n] is not None and pair.inputs[n].dtype.kind == "f"]

    def tensor(a):  # of a copy: PyTorch takes no negative strides
        return torch.from_numpy(np.array(a, order="C"))

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.inputs = {n: t.detach().numpy().copy() for n, t in zip(names, tensors, strict=True)}
            return tensor(pair.f(**{**pair.inputs, **ctx.inputs}))

        @staticmethod
        def backward(ctx, dy):
            found = pair.backward(dy.numpy(), **{**pair.inputs, **ctx.inputs})
            return tuple(tensor(found[n]) for n in names)

    tensors = [torch.tensor(pair.inputs[n], requires_grad=True) for n in names]
    return torch.autograd.gradcheck(Function.apply, tensors, raise_exception=False)


def report_of(pair):
    return check(pair.f, pair.backward, pair.inputs, name=pair.name)


def judged(pair, torch):
    """A row of the results: what the truth, this checker and PyTorch's say of a pair."""
    row = {"pair": pair.name, "cause": pair.cause, "wrong": None, "how": ""}
    found, _, said = limited(lambda: judged_by_truth(pair))
    if found is None:
        row["how"] = said
    else:
        wrong, row["how"], unknown = found
        row["wrong"] = None if unknown else bool(wrong)
        row["leaves"] = wrong
    report, row["ms"], said = limited(lambda: report_of(pair))
    if report is None:
        # an InputError says in one sentence what cannot be checked, and is no crash
        verdict = "REFUSED" if said.startswith("InputError") else "TRACEBACK"
        row |= {"verdict": verdict, "said": said, "justified": False, "fails": False}
    else:
        row["verdict"] = report.verdict
        row["said"] = "; ".join(_said(report))
        named = [f"d{x.name}: {x.message}" for x in report.leaves if x.verdict == "FAIL"]
        named += [f"contract: {text}" for text in report.violations]
        row["name"] = _name(named, pair.says)
        broken = "; ".join((*report.violations, report.random, report.raised))
        row["justified"] = bool(pair.breaks and re.search(pair.breaks, broken))
        row["fails"] = bool(report.raised and row["justified"])
    row["judgement"] = _judgement(row)
    if torch:
        passed, row["torch ms"], row["torch said"] = limited(lambda: by_torch(torch, pair))
        row["torch"] = None if passed is None else bool(passed)
    return row


def _said(report):
    yield from filter(None, (report.raised, report.random))
    for leaf in report.leaves:
        if leaf.verdict not in GOOD:
            yield f"d{leaf.name} {leaf.verdict}: {leaf.message or leaf.how}"
    yield from report.violations


def _name(messages, says):
    """What the names of a bug are worth: right, wrong, none, or place if they only say where."""
    messages = [m for m in messages if not re.search(NOTHING, m)]
    if not messages:
        return "none"
    if says and re.search(says, "; ".join(messages)):
        return "right"
    sure = [m for m in messages if not re.search(f"{PLACE}|: perhaps", m)]
    return "wrong" if sure else "place"


def _judgement(row):
    verdict, wrong = row["verdict"], row["wrong"]
    if verdict == "TRACEBACK":
        return "traceback"
    if row["fails"]:
        return "right"
    if verdict in ("ERROR", "INCONCLUSIVE", "REFUSED"):
        return "undecided"
    if wrong is None:
        return "no truth"
    if verdict in GOOD:
        return "false pass" if wrong else "right"
    if wrong or row["justified"]:
        return "right"
    return "false alarm"


def adapter(path):
    spec = importlib.util.spec_from_file_location(f"adapter_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_adapter(path, folder, out):
    """Judge the pairs of one code base, in a process of its own: their modules share names."""
    try:
        import torch
    except ImportError:
        torch = None
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    module = adapter(path)
    with open(os.devnull, "w") as quiet, redirect_stdout(quiet):
        rows = [judged(pair, torch) for pair in module.pairs(folder)]
    Path(out).write_text(json.dumps({"note": getattr(module, "NOTE", ""), "rows": rows}))


def version(source, folder):
    """The commit of a snapshot or the version of a distribution; None if it is not there."""
    if "+" not in source:
        try:
            return metadata.version(source)
        except metadata.PackageNotFoundError:
            return None
    if not folder.is_dir():
        return None
    commit = folder / "COMMIT"
    return commit.read_text().strip()[:10] if commit.is_file() else "unknown"


def source_of(path):
    """What an adapter adapts; it is not executed for that."""
    return re.search(r'^SOURCE = "(.+)"$', path.read_text(), re.M)[1]


def measure(root, adapters, only=""):
    """Results by code base; those that are missing have no rows."""
    for path in sorted(adapters.glob("*.py")):
        if path.name in ("__init__.py", "truth.py"):
            continue
        source = source_of(path)
        if only not in path.stem and only not in source:
            continue
        folder = root / source
        at = version(source, folder)
        if at is None:
            yield {"source": source, "missing": True, "rows": []}
            continue
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "rows.json"
            command = [
                sys.executable,
                __file__,
                str(root),
                "--adapter",
                str(path),
                "--json",
                str(out),
            ]
            done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
            if done.returncode:
                last = (done.stderr.strip() or "no message").splitlines()[-1]
                yield {"source": source, "version": at, "failed": last, "rows": []}
            else:
                yield {"source": source, "version": at, **json.loads(out.read_text())}


def count(rows, **wanted):
    return sum(all(row.get(k.replace("_", " ")) == v for k, v in wanted.items()) for row in rows)


HEAD = (
    *("code base", "version", "pairs", "right", "wrong", "raise"),
    *("false alarms", "false passes", "tracebacks", "undecided", "median"),
)
JUDGED = ("false alarm", "false pass", "traceback")


def cells(rows):
    yield from (len(rows), count(rows, wrong=False), count(rows, wrong=True))
    yield count(rows, fails=True)
    yield from (count(rows, judgement=x) for x in JUDGED)
    yield count(rows, judgement="undecided") + count(rows, judgement="no truth")
    yield f"{statistics.median(row['ms'] for row in rows):.0f} ms" if rows else ""


def line(*cells):
    print("|", " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells), "|")


def table(results):
    line(*HEAD)
    line("---", "---", *["---:"] * (len(HEAD) - 2))
    for result in results:
        if result["rows"]:
            line(result["source"].replace("+", "/"), result["version"], *cells(result["rows"]))
    rows = [row for result in results for row in result["rows"]]
    line("all", "", *cells(rows))
    print()
    for result in results:
        name = result["source"].replace("+", "/")
        if result.get("missing"):
            print(f"* {name} is not there, and was left out")
        elif result.get("failed"):
            print(f"* {name} could not be imported: {result['failed']}")
        elif result.get("note"):
            print(f"* {name}: {result['note']}")
    counts = {v: count(rows, verdict=v) for v in sorted({r["verdict"] for r in rows})}
    print("\nVerdicts:", ", ".join(f"{n} {v}" for v, n in counts.items()))
    names = [row.get("name", "none") for row in rows if row["wrong"]]
    kinds = ", ".join(f"{names.count(kind)} {kind}" for kind in ("right", "place", "none", "wrong"))
    print(f"Names of {len(names)} wrong gradients: {kinds} ('place' says where, and not why)")


def comparison(results):
    """Both checkers on the pairs whose truth is known, where PyTorch is installed."""
    rows = [r for result in results for r in result["rows"] if TORCH in r]
    right = [r for r in rows if r["wrong"] is False]
    wrong = [r for r in rows if r["wrong"]]
    if not rows:
        return
    print()
    line("checker", "false alarms", "wrong gradients missed", "raised", "median", "95 % within")
    line("---", *["---:"] * 5)
    for name, accepts, raised, ms in (
        ("`check`", lambda r: r["verdict"] in GOOD, lambda r: r["verdict"] == "TRACEBACK", OURS),
        ("PyTorch `gradcheck`", lambda r: r["torch"] or False, lambda r: r["torch"] is None, TORCH),
    ):
        alarms = [r for r in right if not accepts(r) and not r["justified"] and not raised(r)]
        times = sorted(r[ms] for r in rows)
        line(
            name,
            f"{len(alarms)} of {len(right)}",
            f"{sum(map(accepts, wrong))} of {len(wrong)}",
            sum(map(raised, rows)),
            f"{statistics.median(times):.0f} ms",
            f"{times[int(0.95 * len(times))]:.0f} ms",
        )


def details(results):
    for title, wanted in (
        ("Judged wrongly, or not at all", lambda r: r["judgement"] != "right"),
        ("Wrong gradients", lambda r: r["wrong"]),
    ):
        print(f"\n{title}:\n")
        line("pair", "truth", "verdict", "what was said", "cause", "name")
        line(*["---"] * 6)
        for result in results:
            for row in filter(wanted, result["rows"]):
                off = [f"{n} {v:.2g}" for n, v in row.get("leaves", {}).items()]
                fact = {None: f"unknown ({row['how']})", False: "right"}.get(row["wrong"])
                line(
                    f"{result['source'].partition('+')[2] or result['source']}: {row['pair']}",
                    fact or f"off by {', '.join(off)}",
                    f"{row['verdict']} ({row['judgement']})",
                    row["said"],
                    row["cause"],
                    row.get("name", "") if row["wrong"] else "",
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", metavar="DIR", type=Path, help="the snapshots")
    parser.add_argument(
        "--only", default="", metavar="NAME", help="code bases with this in their names"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results here, too")
    parser.add_argument(
        "--adapters", type=Path, default=HERE / "wild", help="the folder of adapters"
    )
    parser.add_argument("--adapter", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    root = args.root.resolve()
    if args.adapter:
        run_adapter(args.adapter, root / source_of(args.adapter), args.json)
        return
    if not root.is_dir():
        print(f"{args.root} is no folder: there are no snapshots to check")
        return
    results = list(measure(root, args.adapters.resolve(), args.only))
    installed = {n: version(n, None) for n in ("numpy", "torch", "scipy")}
    print(
        f"scratchvae {scratchvae.__version__}, Python {platform.python_version()},",
        ", ".join(f"{n} {v}" for n, v in installed.items() if v),
        end="\n\n",
    )
    table(results)
    comparison(results)
    details(results)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
