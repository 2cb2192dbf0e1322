"""Faults other than kills: full disks, folders that cannot be written, damaged files, clocks that jump."""

import functools
import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from typing import NamedTuple

from torture_kills import ROOT, STOCHBIND, Ensemble, Run, tree

import stochbind
from stochbind.errors import StochbindError

#: Of the command line: numbers or data are damaged; reading or writing failed.
DAMAGED, IO_FAILED = 3, 74


class Fault(NamedTuple):
    """What was tried, whether it ended as it should, and how."""

    name: str
    good: bool
    words: str


@functools.cache
def small(folder):
    """A small ensemble, and the folder of its finished store."""
    return Ensemble(folder, "small", record=True, layout=(32, 64, 4), n_trajectories=64, n_steps=256)


def call(*command, **options):
    """Exit code and last line of a command of stochbind."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, **options)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if "Traceback" in done.stderr:
        lines.append("TRACEBACK " + lines[-1])
    return done.returncode, lines[-1] if lines else ""


@contextmanager
def mounted(place, size):
    """A small file system in memory; False where that is not allowed."""
    place.mkdir(parents=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    allowed = os.geteuid() == 0 and subprocess.run(options, capture_output=True).returncode == 0
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", "-l", str(place)], check=True)


def disk_full(folder):
    """The disk is full in the middle of a run; later there is room again."""
    every, place = small(folder), folder / "full"
    with mounted(place, "8m") as allowed:
        store, filler = place / "run.zarr", place / "filler"
        every.begin(store)
        command = every.command(store, "processes", "--workers", "2")
        if allowed:
            free = shutil.disk_usage(place).free
            filler.write_bytes(bytes(free - 2**18))
            how, code = "full tmpfs", call(*command)
            filler.unlink()
        else:
            how = "RLIMIT_FSIZE"
            limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2**13, resource.RLIM_INFINITY))
            code = call(*command, preexec_fn=limit)
        n_partial = sum(1 for _ in store.rglob("*.partial"))
        again = call(*command)
        faults = every.faults(store)
    good = code[0] == IO_FAILED and again[0] == 0 and not faults
    words = f"exit {code[0]} ({code[1][:160]}), {n_partial} partial files; with room again exit {again[0]}"
    return Fault(f"disk full ({how})", good, f"{words}, {'identical' if not faults else faults[0]}")


def no_room(folder):
    """A run that cannot fit is refused before it begins."""
    every, place = small(folder), folder / "small-disk"
    with mounted(place, "1m") as allowed:
        if not allowed:
            return Fault("disk too small", True, "not tried: mounting is not allowed here")
        code = call(*every.command(place / "run.zarr", "serial"))
        left = list(place.iterdir())
    return Fault("disk too small", code[0] == IO_FAILED and not left, f"exit {code[0]} ({code[1][:160]})")


def read_only(folder):
    """A folder that cannot be written: reading works, running says so."""
    every, place = small(folder), folder / "read-only"
    with mounted(place, "16m") as allowed:
        store = place / "run.zarr"
        every.begin(store)
        if allowed:
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        elif os.geteuid() == 0:
            return Fault("read-only folder", True, "not tried: root may write everywhere, and cannot mount here")
        else:
            for file in [store, *store.rglob("*")]:
                file.chmod(0o555)
        run, look = call(*every.command(store, "serial")), call(*STOCHBIND, "info", store)
        if not allowed:
            for file in [store, *store.rglob("*")]:
                file.chmod(0o755)
        else:
            subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        again = call(*every.command(store, "serial"))
        faults = every.faults(store)
    good = run[0] == IO_FAILED and look[0] == 0 and again[0] == 0 and not faults
    words = f"run exits {run[0]} ({run[1][:160]}), info exits {look[0]}; once writable exit {again[0]}"
    return Fault("read-only folder", good, words)


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def delete(file):
    file.unlink()


def damage(name, key, how, *, finished=True):
    """A fault that does something to one file of a store."""

    def fault(folder):
        every, store = small(folder), folder / "damaged.zarr"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(folder / "small.zarr", store)
        if not finished:  # the last two segments of a block are to be made
            for segment in (2, 3):
                (store / f"engine/ledger/c.0.{segment}.0").unlink()
        how(next(file for file in sorted(store.glob(key)) if file.is_file()))
        read, verified = read_all(store, folder), call(*STOCHBIND, "verify", store)
        run = call(*every.command(store, "serial"))
        same = tree(store) == every.expected
        repaired = call(*STOCHBIND, "repair", store)
        last = call(*every.command(store, "serial"))
        faults = every.faults(store)
        said = run[0] == DAMAGED or (run[0] == 0 and same)
        good = (
            said and verified[0] == DAMAGED and read != "WRONG NUMBERS" and repaired[0] == last[0] == 0 and not faults
        )
        good = good and not any("TRACEBACK" in code[1] for code in (run, verified, repaired))
        words = f"reading: {read}; verify exits {verified[0]} ({verified[1][:110]}); run exits {run[0]}; repair exits "
        return Fault(name, good, f"{words}{repaired[0]}, {'identical' if not faults else faults[0]}")

    fault.title = name
    return fault


def read_all(store, folder):
    """Whether all that reading gives is right, or that it says what is damaged."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = stochbind.open(store).load()
            right = stochbind.open(folder / "small.zarr").load()
    except StochbindError as error:
        return type(error).__name__
    except Exception as error:
        return f"{type(error).__name__} of a library"
    for name in right.variables:
        a, b = found[name].values, right[name].values
        if a.dtype.kind not in "fc" or name not in ("position", "velocity", "heat", "work", "drive_work"):
            same = a.tobytes() == b.tobytes() or found.attrs["units_done"] < found.attrs["units_total"]
        else:
            same = bool(((a == b) | (a != a)).all()) and (
                not (a != a).any() or found.attrs["units_done"] < found.attrs["units_total"]
            )
        if not same:
            return "WRONG NUMBERS"
    return "right numbers"


def clock(kind, jump):
    """The clocks of all processes jump by a day, three seconds after each was started."""

    def fault(folder):
        every = Ensemble(folder, f"clock-{kind}{jump:+d}", record=True, layout=(16, 64, 4))
        run = Run(every, kind, folder / f"clock-{kind}{jump:+d}", 0, extra={"TORTURE_CLOCK": f"3,{jump}"})
        run.go(0, 0.0)
        words = "identical" if not run.faults else "; ".join(run.faults[:3])
        return Fault(f"clock jumps by {jump / 86400:+.0f} day ({kind})", not run.faults, words)

    return fault


disk_full.title = "disk full"
FAULTS = [
    disk_full,
    no_room,
    read_only,
    damage("flipped bit in a chunk", "position/c.1.2.0.0", flip),
    damage("flipped bit in a statistic", "statistics/moments/c.1.1.0", flip),
    damage("flipped bit in a checkpoint", "engine/checkpoint/c.1.0.0", flip),
    damage("flipped bit in a checkpoint, run unfinished", "engine/checkpoint/c.1.0.0", flip, finished=False),
    damage("flipped bit in a coefficient", "coefficients/matrix/c/**/*", flip),
    damage("flipped bit in the ledger", "engine/ledger/c.1.1.0", flip),
    damage("deleted chunk", "velocity/c.0.1.0.0", delete),
    damage("deleted statistic", "statistics/spectra/c.2.0.0", delete),
    damage("deleted entry of the ledger", "engine/ledger/c.1.1.0", delete),
    damage("emptied entry of the ledger", "engine/ledger/c.1.1.0", empty),
    damage("emptied chunk", "heat/c.0.0.0", empty),
    damage("truncated zarr.json of the root", "zarr.json", truncate),
    damage("truncated zarr.json of an array", "position/zarr.json", truncate),
    damage("flipped bit in zarr.json of the root", "zarr.json", flip),
    clock("processes", 86400),
    clock("processes", -86400),
    clock("dask", 86400),
    clock("dask", -86400),
    clock("scheduler", 86400),
    clock("scheduler", -86400),
]
