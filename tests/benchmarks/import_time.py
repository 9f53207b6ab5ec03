"""Times `import scratchvae` and `from scratchvae.gradcheck import check` beside `import numpy`.

    python tests/benchmarks/import_time.py [--rounds 21]

Each import is a process of its own, and they take turns; the time is that of the import alone.
The ratio is that of the medians. Nothing else should run meanwhile.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

IMPORTS = (
    "import numpy",
    "import scratchvae",
    "from scratchvae.gradcheck import check",
    "from scratchvae import VAE",
)
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


# NumPy is installed with its bytecode; ours is written by the first import, where that is allowed
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(statement):
    command = [sys.executable, "-c", TIMED.format(statement)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=21)
    rounds = p.parse_args().rounds
    times = {statement: [] for statement in IMPORTS}
    for statement in IMPORTS:  # the first import compiles
        seconds(statement)
    for _ in range(rounds):
        for statement in IMPORTS:
            times[statement].append(seconds(statement))
    base = median(times[IMPORTS[0]])
    for statement in IMPORTS:
        middle = median(times[statement])
        print(f"{statement:42} {1000 * middle:7.1f} ms   {middle / base:5.2f} of import numpy")


if __name__ == "__main__":
    main()
