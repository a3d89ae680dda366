"""How long things may take on a machine that has other things to do."""

import os


def seconds(idle):
    """What takes at most `idle` seconds on an idle machine, for the load there is now: never a bound for speed, which
    benchmarks measure, but what tells an end from none."""
    return idle * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
