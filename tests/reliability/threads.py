"""Threads that read one fitted model at the same moment: each result against that of one thread.

Every public call that reads a model, for all five models, 1,000 results each from eight threads.
A loss is a result whose bytes differ.
"""

import sys

import common

sys.path.insert(0, str(common.ROOT / "tests"))
from support.shared_model import THREADS, calls, fitted, in_threads, raw

from scratchvae.models import MODELS

RESULTS = 1000


def main():
    options = common.options(__doc__)
    counts = common.Counts("threads", options)
    rounds = 1 if options.short else RESULTS // THREADS
    for kind in MODELS:
        for name, call in calls(fitted(kind)).items():
            alone = [raw(call(i)) for i in range(THREADS)]

            def work(i, call=call, alone=alone):
                return sum(raw(call(i)) != alone[i] for _ in range(rounds))

            for wrong in in_threads(work):
                counts.add(f"{kind}: {name}", n=rounds - wrong)
                for _ in range(wrong):
                    counts.add(f"{kind}: {name}", "its bytes differ")
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
