"""The entry: signals, errors and exit codes.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 a bug, 2 a mistake in the
command or the scenario, 3 a check failed (numbers disagree, or data are damaged), 4 the physics forbids it (no steady
state), 74 reading or writing failed, 75 not finished (the same command continues), 130 and 143 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import NoReturn

import typer

from stochbind import errors
from stochbind.cli import analysing, diagrams, modes, quantum, running, showing, studying
from stochbind.cli.common import say

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Stochastic trajectories of optically bound and levitated nanoparticle arrays.",
)
running.register(app)
showing.register(app)
analysing.register(app)
studying.register(app)
diagrams.register(app)
modes.register(app)
quantum.register(app)

_EXIT_CODES: tuple[tuple[type[errors.StochbindError], int], ...] = (
    (errors.StoreDamagedError, 3),
    (errors.StoreMismatchError, 2),
    (errors.IncompleteError, 75),
    (errors.StoreLockedError, 75),
    (errors.StoreError, 74),
    (errors.UnstableError, 4),
    (errors.StochbindError, 2),
)


def main() -> NoReturn:
    """Run the command line; errors of the user become one sentence and an exit code."""
    signal.signal(signal.SIGTERM, partial(_interrupted, 143))
    signal.signal(signal.SIGINT, partial(_interrupted, 130))
    code = 0
    try:
        app()
    except errors.StochbindError as error:
        print(f"error: {error}", file=sys.stderr)
        code = next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 74
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}.", file=sys.stderr)
        code = 74
    finally:
        _ignore_signals()  # the interpreter is about to clean up
    sys.exit(code)


def _interrupted(code: int, *_: object) -> NoReturn:
    """End in order, once: a second signal while workers are being stopped changes nothing."""
    _ignore_signals()
    say("interrupted; what is finished is kept, and the same command continues it")
    sys.exit(code)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
