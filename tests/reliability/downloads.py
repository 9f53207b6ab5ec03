"""Downloads from servers that misbehave, and counts what that could break.

    python tests/reliability/downloads.py [--short]

Lost is: a wrong or partial file among the data, a file too few, a refusal that is no DataError, or
an attempt that does not end. Everything stays on loopback; the last line of output is JSON.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.faulty_server import ARCHIVES, ENDLESS, FAULTS, Server, instead, right_files

from scratchvae import DataError
from scratchvae.data.download import fetch_missing

HANGS = 60  # seconds after which an attempt counts as one without end
FIRST = "train-images-idx3-ubyte"


def outcome(mirrors, folder, timeout=10.0):
    """How a download ended: "fetched", "refused", or the name of what should not happen."""
    ends = []

    def attempt():
        try:
            fetch_missing("mnist", folder)
            ends.append("fetched")
        except DataError:
            ends.append("refused")
        except BaseException as error:  # whatever it is, it is counted
            ends.append(type(error).__name__)

    with instead(mirrors, timeout, rounds=1):
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(HANGS)
    return ends[0] if ends else "hangs"


def lost(wanted, mirrors, timeout=10.0):
    """1 if a download into an empty folder ends otherwise, or leaves another number of files."""
    with tempfile.TemporaryDirectory() as folder:
        end = outcome(mirrors, Path(folder), timeout)
        good = end == wanted and right_files(folder) == (4 if wanted == "fetched" else 0)
    return int(not good)


def served(rounds):
    """Each way to misbehave, at the only mirror, and at the first of two."""
    for what, answers, timeout in (
        ("answers that are wrong", FAULTS, 10.0),
        ("servers that stall", ENDLESS, 1.0),
    ):
        n = 0
        with Server() as server:
            for name in answers:
                bad, good = server.mirror(name), server.mirror("right")
                n += sum(lost("refused", [bad], timeout) for _ in range(rounds))
                n += sum(lost("fetched", [bad, good], timeout) for _ in range(rounds))
        yield f"{what}, {len(answers)} kinds", 2 * rounds * len(answers), n


def damaged(step):
    """The first archive cut at each byte, and with each bit of it turned."""
    archive = ARCHIVES[FIRST]
    n = 0
    with Server() as server:
        for length in range(0, len(archive), step):
            FAULTS["part"] = lambda h, body, k=length: h.send(body[:k]), None
            n += lost("refused", [server.mirror("part")])
            FAULTS["part"] = lambda h, body, k=length: h.send(body[:k], len(body)), None
            n += lost("refused", [server.mirror("part")])
        yield "cut at each byte, announced or not", 2 * len(range(0, len(archive), step)), n
        n = 0
        for bit in range(0, 8 * len(archive), step):
            FAULTS["bit"] = lambda h, body, k=bit: h.send(turned(body, k)), None
            n += lost("refused", [server.mirror("bit")])
        yield "each bit turned", len(range(0, 8 * len(archive), step)), n
        del FAULTS["part"], FAULTS["bit"]


def turned(body, bit):
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


CHILD = """
import sys
from pathlib import Path
from support.faulty_server import instead
from scratchvae.data.download import fetch_missing
with instead([sys.argv[1]]):
    fetch_missing("mnist", Path(sys.argv[2]))
"""


def child(mirror, folder):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", CHILD, mirror, folder], env=environment)


def processes(rounds, rng):
    """Two at once; and one that is killed somewhere on its way, and then begun anew."""
    n = 0
    for _ in range(rounds):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            both = [child(server.mirror("together"), folder) for _ in range(2)]
            codes = [p.wait(HANGS) for p in both]
            n += codes != [0, 0] or right_files(folder) != 4
    yield "two processes at once", rounds, n
    n = 0
    for _ in range(rounds):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            process = child(server.mirror("in_pieces"), folder)
            files = rng.randrange(1, 5)
            while len(server.asked) < files and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
            process.kill()
            process.wait()
            for path in Path(folder).glob(".*.tmp"):
                path.unlink()  # a kill in the midst of a write may leave one, which nobody reads
            partial = right_files(folder) is None
            end = outcome([server.mirror("right")], Path(folder))
            n += partial or end != "fetched" or right_files(folder) != 4
    yield "killed (kill -9) and begun anew", rounds, n


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--short", action="store_true", help="a few of each, in seconds")
    p.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    a = p.parse_args(argv)
    rng = random.Random(a.seed)
    print(f"seed {a.seed}\n{'fault':40s}  tried   lost")
    rows = []
    for part in (
        served(1 if a.short else 20),
        damaged(20 if a.short else 1),
        processes(1 if a.short else 50, rng),
    ):
        for row in part:
            rows.append(row)
            print(f"{row[0]:40s} {row[1]:6d} {row[2]:6d}", flush=True)
    print(json.dumps({"name": "downloads", "rows": rows}))
    return int(any(row[2] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
