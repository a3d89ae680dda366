"""Asks the probe executable named by KERNELS_BUILD_PROBE."""

import functools

import probe

ask = functools.partial(probe.ask, variable="KERNELS_BUILD_PROBE")
