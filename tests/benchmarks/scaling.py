"""The time of a step on 1 to 1,024 ranks, from a model of the all-reduce and measured compute.

    python tests/benchmarks/scaling.py [MS_OF_AN_EXAMPLE MS_OF_A_STEP]

A step of b examples takes f + b c on one rank: c is the cost of an example, f what does not depend
on the batch (Adam, calls). An all-reduce of n bytes over p ranks takes

    2 log2(p) a + 2 (p - 1)/p n / w

with the latency a and the bandwidth w of a link (Thakur, Rabenseifner & Gropp, "Optimization of
collective communication operations in MPICH", 2005). The defaults are rounded from docs/speed.md.
"""

import sys
from math import log2

LINKS = {
    "1 Gb/s, 50 us": (50e-6, 125e6),
    "10 Gb/s, 20 us": (20e-6, 1.25e9),
    "100 Gb/s, 2 us": (2e-6, 12.5e9),
}
RANKS = (1, 2, 4, 16, 64, 256, 1024)


def all_reduce(n, p, latency, bandwidth):
    return 2 * log2(p) * latency + 2 * (p - 1) / p * n / bandwidth


def speedup(p, batch, n, example, fixed, link):
    """How many times as many examples a second as one rank has, for a global batch."""
    alone = fixed + batch * example
    return alone / (fixed + batch / p * example + all_reduce(n, p, *link))


def main(example, fixed):
    for name, n, scale in (
        ("this model, 2.7 MB", 2.7e6, 1),
        ("a hundred times as many parameters", 2.7e8, 100),
    ):
        for batch in (512, 8192, 131072):
            print(f"\n{name}; global batch {batch:,}\n")
            print("| link |", *(f"{p} |" for p in RANKS))
            print("|---|" + "---|" * len(RANKS))
            for label, link in LINKS.items():
                row = (
                    f"{speedup(p, batch, n, scale * example, scale * fixed, link):.1f} |"
                    if p <= batch
                    else "|"
                    for p in RANKS
                )
                print(f"| {label} |", *row)


if __name__ == "__main__":
    main(*(float(a) / 1e3 for a in sys.argv[1:3] or ("0.03", "1.2")))
