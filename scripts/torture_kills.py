"""Runs whose processes are killed at random moments, and started again until they are done."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

import stochbind
from stochbind.engine.layout import Layout
from stochbind.engine.store import Store

ROOT = Path(__file__).resolve().parent.parent
HOOK = Path(__file__).resolve().parent / "torture_hook"
STOCHBIND = [sys.executable, "-m", "stochbind.cli"]
#: What a process may end with that nobody hurt: done, or to be started again.
FINE = {0, 75}
#: What it may end with after a signal: the kernel's word for it, or its own.
AFTER = {signal.SIGKILL: {-9}, signal.SIGTERM: {-15, 143}, signal.SIGINT: {-2, 130, 1}}  # 1: Python, while it starts
#: How long workers may outlive those who started them, and a run may take [s].
ORPHAN_TIME, RUN_TIME = 20.0, 300.0

SCENARIO = """
name = "tortured pair"
kind = "oscillators"
units = "reduced"
coupling = [[0.0, 0.5], [0.2, 0.0]]
[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 1.0
[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 0.8
[run]
step = 0.5
n_steps = {n_steps}
n_trajectories = {n_trajectories}
seed = 7
save_every = {save_every}
ledger = {ledger}
record = {record}
"""
STATISTICS = {"moments": 16, "correlations": 32, "spectra": 32, "histograms": 32, "currents": 16}


class Ensemble:
    """A scenario file, and the store that an undisturbed run in one process makes of it."""

    def __init__(
        self, folder, name, *, record, layout=None, n_trajectories=256, n_steps=512, save_every=1, only_moments=False
    ):
        self.name, self.layout = name, layout
        self.scenario = folder / f"{name}.toml"
        statistics = {"moments": 64} if only_moments else STATISTICS
        tables = [f'[[run.statistics]]\nkind = "{kind}"\nwindow = {window}\n' for kind, window in statistics.items()]
        numbers = {
            "n_steps": n_steps,
            "n_trajectories": n_trajectories,
            "save_every": save_every,
            "ledger": str(not only_moments).lower(),
            "record": str(record).lower(),
        }
        self.scenario.write_text(SCENARIO.format(**numbers) + "".join(tables))
        self.plan = stochbind.Plan.from_scenario(stochbind.Scenario.from_toml(self.scenario))
        reference = folder / f"{name}.zarr"
        self.begin(reference)
        workers = "threads" if only_moments else "serial"
        self.n_units = stochbind.run(self.plan, reference, workers=workers).done.size
        self.expected = tree(reference)
        if self.faults_of_counts(reference):
            raise RuntimeError(f"the undisturbed run is wrong: {self.faults_of_counts(reference)}")

    def begin(self, path):
        """The empty store, if its units are not to be those that suit the plan."""
        if self.layout is not None:
            Store.create(path, self.plan, Layout(*self.layout))

    def command(self, path, parallel, *more):
        return [*STOCHBIND, "run", str(self.scenario), "-o", str(path), "--parallel", str(parallel), *more]

    def faults(self, path):
        """What is wrong with a store that should be complete: sentences."""
        found = tree(path)
        result = [f"{key} is missing" for key in sorted(self.expected.keys() - found.keys())]
        result += [f"{key} should not be there" for key in sorted(found.keys() - self.expected.keys())]
        result += [f"{key} differs" for key in self.expected.keys() & found.keys() if found[key] != self.expected[key]]
        return result or self.faults_of_counts(path)

    def faults_of_counts(self, path):
        """Whether each trajectory is counted once in each window of time, and each state once in each histogram."""
        plan, dataset = self.plan, stochbind.open(path)
        first = {item.kind: -(-getattr(item, "start", 0) // item.window) for item in plan.statistics}
        windows = {item.kind: plan.n_saves // item.window - first[item.kind] for item in plan.statistics}
        windows["moments"] = -(-plan.n_saves // next(i.window for i in plan.statistics if i.kind == "moments"))
        names = {
            "moments": "moments_count",
            "correlations": "correlation_count",
            "spectra": "spectrum_count",
            "histograms": "histogram_position_count",
            "currents": "current_count",
        }
        wanted = {names[kind]: plan.n_trajectories * number for kind, number in windows.items()}
        found = {name: float(dataset[name].sum()) for name in wanted}
        return [f"{name} is {found[name]:g}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]


def tree(path):
    """Digests of all files of a store but locks and reports of failures."""
    skip = ("engine/lock/", "engine/ledger/failed/")
    files = {file.relative_to(path).as_posix(): file for file in Path(path).rglob("*") if file.is_file()}
    return {key: hashlib.blake2b(file.read_bytes()).digest() for key, file in files.items() if not key.startswith(skip)}


class Process:
    """A process that is started again whenever it ends before its work is done."""

    def __init__(self, name, command, environment, log, *, helper):
        self.name, self.command, self.environment, self.log, self.helper = name, command, environment, log, helper
        self.process, self.signals, self.finished = None, set(), False

    def start(self):
        self.signals = set()
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def look(self):
        """Start it if it does not run and should; return a sentence if it ended as it should not."""
        if self.finished or (self.process is not None and self.process.poll() is None):
            return ""
        if self.process is None:
            self.start()
            return ""
        code, signals = self.process.returncode, self.signals
        if code == 0 and not self.helper:
            self.finished = True
            return ""
        fine = FINE.union(*(AFTER[number] for number in signals))
        self.start()
        return "" if code in fine or self.helper else f"{self.name} ended with exit code {code}"

    @property
    def runs(self):
        return self.process is not None and self.process.poll() is None


class Run:
    """One store, the processes that make it, and what is done to them."""

    def __init__(self, ensemble, kind, folder, seed, *, n_workers=2, extra=None, pause=0.3, longest=RUN_TIME):
        self.pause, self.longest = pause, longest  # mean time between kills, and of the run [s]
        self.ensemble, self.kind, self.folder = ensemble, kind, folder
        self.path, self.trace = folder / "run.zarr", folder / "trace"
        self.random = random.Random(seed)
        self.kills, self.places, self.faults, self.remarks = Counter(), Counter(), [], []
        self.left = {}  # processes whose parent was killed, and when
        folder.mkdir(parents=True)
        self.trace.touch()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT)]),
            "TORTURE_TRACE": str(self.trace),
            **(extra or {}),
        }
        environment |= {"PYTHONWARNINGS": "ignore"}
        self.processes = []

        def add(name, command, helper=False):
            self.processes.append(Process(name, command, environment, folder / f"{name}.log", helper=helper))

        more = ["--workers", str(n_workers)]
        if kind in ("processes", "dask"):
            add("client", ensemble.command(self.path, kind, *more))
        elif kind == "scheduler":
            file = folder / "scheduler.json"
            dask = [sys.executable, "-m", "distributed.cli.dask_"]
            dask = [[*dask[:2], dask[2] + name, "--scheduler-file", str(file)] for name in ("scheduler", "worker")]
            add("scheduler", [*dask[0], "--port", "0", "--no-dashboard"], helper=True)
            options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "10", "--local-directory", str(folder)]
            for index in range(n_workers):
                add(f"nanny {index}", [*dask[1], *options], helper=True)
            add("client", ensemble.command(self.path, file))
        else:
            for index in range(1, n_workers + 1):
                part = ["--part", f"{index}/{n_workers}"]
                add(f"part {index}", ensemble.command(self.path, "serial", *part))

    def go(self, n_kills, deadline):
        """Run to the end, with so many kills along the way; fills `kills`, `places` and `faults`."""
        self.ensemble.begin(self.path)
        began = time.monotonic()
        next_kill, words = began + self.random.uniform(0.5, 4.0), self._words()
        try:
            while not all(process.finished or process.helper for process in self.processes):
                self.faults += filter(None, [process.look() for process in self.processes])
                self._look_at_orphans()
                now = time.monotonic()
                due = now > next_kill and self._n_words() >= words and now < deadline
                if due and self.kills.total() < n_kills and self._kill():
                    next_kill, words = time.monotonic() + self.random.expovariate(1 / self.pause), self._words()
                if now > began + self.longest:
                    self._tell_hanging()
                    break
                time.sleep(0.02)
            else:
                self._finish()
        finally:
            self.end()
        for process in self.processes:
            text = Path(process.log).read_text(errors="replace") if Path(process.log).exists() else ""
            if "Traceback" in text and not process.helper:  # unsightly, but nothing is lost by it
                self.remarks.append(f"{process.name} shows a traceback: {_last_of_traceback(text)}")

    @property
    def n_made(self):
        """Units that were begun, those included that were begun again."""
        return sum(line.split()[1] == "unit" for line in self.trace.read_text().splitlines())

    def _n_words(self):
        return self.trace.read_bytes().count(b"\n")

    def _words(self):
        """How long the trace must be before the next kill: mostly work has to go on again, sometimes not."""
        return self._n_words() + (0 if self.random.random() < 0.2 else self.random.randint(1, 8))

    def _victims(self):
        """What there is to kill: (kind, process of psutil, the one of ours that it belongs to)."""
        for process in self.processes:
            if not process.runs:
                continue
            with contextlib.suppress(psutil.Error):
                own = psutil.Process(process.process.pid)
                yield process.name.split()[0], own, process
                for child in own.children(recursive=True):
                    if "spawn_main" in " ".join(child.cmdline()):
                        yield "worker", child, process

    def _kill(self):
        """Kill something; whether there was anything to kill."""
        victims = list(self._victims())
        kinds = sorted({kind for kind, _, _ in victims})
        if not kinds:
            return False
        weights = {"worker": 3.0, "part": 3.0}
        kind = self.random.choices(kinds, [weights.get(kind, 1.0) for kind in kinds])[0]
        _, victim, owner = self.random.choice([item for item in victims if item[0] == kind])
        number = signal.SIGKILL
        if kind in ("client", "part") and self.random.random() < 0.25:
            number = self.random.choice([signal.SIGTERM, signal.SIGINT])
        try:
            if kind in ("worker", "part") and self.random.random() < 0.6:
                self._wait_until_it_writes(victim.pid)
            children = victim.children(recursive=True)
            victim.suspend()  # so that what it does is what it did when it was killed
            where = self._place(victim, kind)
            if victim.pid == owner.process.pid:
                owner.signals.add(number)
            victim.send_signal(number)
            victim.resume()
        except psutil.Error:
            return False
        self.kills[kind if number == signal.SIGKILL else f"{kind} by {number.name}"] += 1
        if number == signal.SIGKILL:
            self.places[where] += 1
            self.left |= {child: time.monotonic() for child in children}
        return True

    def _last_word(self, pid):
        words = [line.split() for line in self.trace.read_text().splitlines()]
        return next((line[1] for line in reversed(words) if line[0] == str(pid)), "")

    def _wait_until_it_writes(self, pid):
        deadline = time.monotonic() + 0.5
        while self._last_word(pid) != "write" and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(self.random.uniform(0.0, 0.01))

    def _place(self, victim, kind):
        """Where a process is, in words."""
        if kind in ("scheduler", "nanny"):
            return "in a scheduler or nanny"
        word = self._last_word(victim.pid)
        if word == "write":
            open_files = [file.path for file in victim.open_files() if str(self.path) in file.path]
            return (
                "in the middle of a file"
                if any(name.endswith(".partial") for name in open_files)
                else "in a unit's files"
            )
        if any(self.folder.glob(f".run.zarr.*.{victim.pid}.*.draft")):
            return "while the store was made"
        return {"unit": "in the loops", "written": "between units"}.get(word, "while it started, or led others")

    def _look_at_orphans(self):
        """Those whose parent was killed must end by themselves."""
        for child, since in list(self.left.items()):
            if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
                del self.left[child]
            elif time.monotonic() - since > ORPHAN_TIME:
                self.faults.append(f"process {child.pid} outlived its parent by {ORPHAN_TIME:.0f} s")
                del self.left[child]

    def _tell_hanging(self):
        for process in self.processes:
            if process.runs:
                process.process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)
        self.faults.append(f"the run had not ended after {self.longest:.0f} s; see the logs in {self.folder}")

    def _finish(self):
        """The same command once more, on a store that is complete; then compare."""
        again = subprocess.run(self.ensemble.command(self.path, "serial"), cwd=ROOT, capture_output=True, text=True)
        if again.returncode != 0:
            self.faults.append(f"the last run ends with {again.returncode}: {again.stderr.strip().splitlines()[-1]}")
        self.faults += self.ensemble.faults(self.path)

    def end(self):
        """End all that is left of the processes."""
        for process in self.processes:
            if process.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.process.pid, signal.SIGKILL)
                process.process.wait()


def _last_of_traceback(text):
    lines = text[text.rindex("Traceback") :].splitlines()
    return next((line for line in lines[1:] if line and not line.startswith(" ")), "")


def counts(counter):
    return ", ".join(f"{number} {name}" for name, number in sorted(counter.items()) if number) or "none"


def seeds(seed):
    """Seeds of runs, one after the other."""
    return (int(number) for number in np.random.default_rng(seed).integers(2**31, size=10**6))
