#!/usr/bin/env python3
"""Run stochbind from a clone, with nothing but Python 3.11 or newer and pip.

    python3 scripts/go.py demo  [OPTION ...]    run, validate and plot one scenario, into out/
    python3 scripts/go.py test  [OPTION ...]    run the tests
    python3 scripts/go.py check                 lint, format, types, import order, docs
    python3 scripts/go.py bench [OPTION ...]    run the benchmark, or some of its sections
    python3 scripts/go.py torture [OPTION ...]  kill what runs an ensemble, and damage its store: minutes

The first start installs requirements.lock, every file checked by its hash, into .venv in the clone;
later starts use that as it is, without the network. The benchmark has requirements-bench.lock and
.venv.bench, with the libraries it measures. Options go to `stochbind run`, pytest or the benchmark.
Everything runs in the clone's top folder, from wherever it is called.
"""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BENCH = ROOT / ".venv.bench"
LOCKS = {VENV: ROOT / "requirements.lock", BENCH: ROOT / "requirements-bench.lock"}
HOST = getattr(sys, "_base_executable", sys.executable)  # not .venv's own python, which may be replaced


def call(*command, **options):
    """Run a command in the clone and return its exit code; after Ctrl-C let it finish, then leave."""
    received = []
    default = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, close_fds=False, **options)
    signal.signal(signal.SIGTERM, lambda number, _: (received.append(number), process.terminate()))
    code = process.wait()
    signal.signal(signal.SIGINT, default)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if received:
        sys.exit(128 + received[0])
    return code if code >= 0 else 128 - code


def show(*arguments, venv=VENV):
    """Run the python of .venv with the arguments, after printing the command line."""
    print(f"$ {venv.name}/bin/python", shlex.join(arguments), flush=True)
    # The tests start some hundred processes: each would compile all modules anew if none may keep what it compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return call(python(venv), *arguments, env=environment)


def python(venv):
    return venv / "bin" / "python"


def stamp(venv):
    """Return the file that is in every .venv made here, and holds the key only once the install is complete."""
    return venv / "go.key"


def key(venv):
    """Return the digest of all that decides what .venv must hold."""
    import tomllib  # not before Python 3.11

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = LOCKS[venv].read_text(encoding="utf-8")
    parts = [lock, project["project"], project["build-system"], sys.version, str(ROOT)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def ready(venv):
    return python(venv).exists() and stamp(venv).exists() and stamp(venv).read_text() == key(venv)


def prepare(venv):
    """Make .venv, unless it is there and complete."""
    if ready(venv):
        return
    import fcntl  # not on Windows

    with open(ROOT / f"{venv.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # where another start is installing, wait for it
        os.set_inheritable(lock.fileno(), True)  # and for its pip, should it die first
        if not ready(venv):
            start = time.monotonic()
            print(f"Installing the locked packages into {venv.name} (once, about a minute) ...", flush=True)
            install(venv)
            print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def install(venv):
    old = ROOT / f"{venv.name}.old"
    if venv.exists() and any(venv.iterdir()) and not stamp(venv).exists():
        sys.exit(f"go.py did not make the {venv.name} that is here. Rename or remove it, then start again.")
    shutil.rmtree(old, ignore_errors=True)
    if venv.exists():
        venv.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    venv.mkdir()
    stamp(venv).write_text("incomplete")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    pip = [python(venv), "-m", "pip"]
    if call(HOST, "-m", "venv", venv, **quiet):  # Debian without python3-venv: the host's pip installs
        pip = [HOST, "-m", "pip", "--python", python(venv)]
        if call(HOST, "-m", "pip", "--version", **quiet):
            print("This Python has neither venv nor pip:  sudo apt install python3-venv")
            sys.exit(3)
        if call(HOST, "-m", "venv", "--without-pip", venv):
            sys.exit(1)
    # sdeint has no wheel: what builds it comes first, from the same lock, so that every file has a hash
    lock = LOCKS[venv].read_text(encoding="utf-8")
    tools = re.findall(r"^(?:packaging|setuptools|wheel)==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    (venv / "tools.lock").write_text("".join(tools), encoding="utf-8")
    for step in (
        ["--require-hashes", "-r", venv / "tools.lock"],
        ["--require-hashes", "--no-build-isolation", "-r", LOCKS[venv]],
        ["--no-deps", "--no-build-isolation", "-e", "."],
    ):
        # compiling every module takes as long as the rest: leave it to the first import
        code = call(*pip, "install", "-qq", "--no-compile", *step)
        if code:
            print("The install failed (pip says why, above). The next start begins it again.")
            sys.exit(code)
    (venv / "go.key.new").write_text(key(venv))
    (venv / "go.key.new").replace(stamp(venv))


def demo(options):
    store = "out/unidirectional_pair.zarr"
    (ROOT / "out").mkdir(exist_ok=True)
    for command in (
        ["run", "scenarios/unidirectional_pair.toml", "-o", store, *options],
        ["validate", store],
        ["plot", store, "-o", "out/unidirectional_pair.png"],
    ):
        code = show("-m", "stochbind.cli", *command)
        if code:
            return code
    return 0


def test(options):
    alone = {"-n", "-s", "--pdb"} & set(options)
    cores = [] if alone else ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal"]
    if cores:  # every core has its tests, and threads of BLAS would only get in their way
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return show("-m", "pytest", *cores, *options)


def check(options):
    if options:
        sys.exit("check takes no options.")
    commands = [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["pytest", "-q", "tests/test_import_order.py", "tests/test_docs.py"],
    ]
    if (ROOT / "docs" / "conf.py").exists():
        commands.append(["sphinx", "-q", "-W", "--keep-going", "-d", "out/doctrees", "docs", "out/docs"])
    failed = [shlex.join(command) for command in commands if show("-m", *command)]
    print("\n".join(f"FAILED: {name}" for name in failed) or "All checks passed.")
    return 1 if failed else 0


def bench(options):
    return show("scripts/benchmark", *options, venv=BENCH)


def torture(options):
    return show("scripts/torture", *options)


def main():
    commands = {"demo": demo, "test": test, "check": check, "bench": bench, "torture": torture}
    name, options = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name not in commands:
        print(__doc__)
        return 0 if name in ("-h", "--help") else 2
    if os.name != "posix" or sys.version_info < (3, 11):
        version = sys.version.split()[0]
        print(f"stochbind needs Python 3.11 or newer on Linux or macOS; this is {version} on {sys.platform}.")
        return 3
    try:
        prepare(BENCH if name == "bench" else VENV)
        return commands[name](options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
