"""Times one contender: `python worker.py NAME BATCH`, then a number of steps a line on stdin.

For each line, takes so many steps and prints the seconds of one; between lines it waits, and takes
no time from others. The first line that it prints is empty: it is ready.
"""

import sys
import time

from contenders import CONTENDERS

name, batch = sys.argv[1], int(sys.argv[2])
step = CONTENDERS[name](batch)
for _ in range(20):
    step()
print(flush=True)
for line in sys.stdin:
    steps = int(line)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    print((time.perf_counter() - start) / steps, flush=True)
