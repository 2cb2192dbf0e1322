"""What `scripts/torture` puts into the processes of a run, by PYTHONPATH: a trace of their units, and clocks that jump.

TORTURE_TRACE names a file, to which each process adds a line when it begins to compute a unit, begins to write it, and
has written it. TORTURE_CLOCK, "seconds,jump", lets the clock of a process jump by so much, so long after it was
started. Neither changes a number.
"""

import faulthandler
import os
import signal
import sys
import time

faulthandler.register(signal.SIGUSR1)  # what a process that hangs is doing


def _trace(owner, name, begin, end=""):
    """Let a function tell when it begins and ends; its last two arguments but one are a block and a segment."""
    function = getattr(owner, name)

    def traced(first, *arguments):
        block, segment = [value for value in arguments if type(value) is int][:2]
        _tell(begin, block, segment)
        result = function(first, *arguments)
        if end:
            _tell(end, block, segment)
        return result

    setattr(owner, name, traced)


def _tell(word, block, segment):
    descriptor = os.open(os.environ["TORTURE_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, f"{os.getpid()} {word} {block} {segment}\n".encode())
    os.close(descriptor)


class _Finder:
    """Puts the trace into modules as soon as they are loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in ("stochbind.engine.store", "stochbind.engine.units"):
            return None
        sys.meta_path.remove(self)
        try:
            from importlib.util import find_spec

            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            if name.endswith("store"):
                _trace(module.Store, "write", "write", "written")
            else:
                _trace(module, "make_unit", "unit")

        spec.loader.exec_module = exec_module
        return spec


if "TORTURE_TRACE" in os.environ:
    sys.meta_path.insert(0, _Finder())

if "TORTURE_CLOCK" in os.environ:
    _after, _jump = map(float, os.environ["TORTURE_CLOCK"].split(","))
    _time, _began = time.time, time.monotonic()
    time.time = lambda: _time() + (_jump if time.monotonic() - _began > _after else 0.0)
