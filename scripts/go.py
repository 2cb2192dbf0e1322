#!/usr/bin/env python3
"""Run stochbind from a clone, with nothing but Python 3.11 or newer and pip.

    python3 scripts/go.py demo  [OPTION ...]    run, validate and plot one scenario into out/
    python3 scripts/go.py test  [OPTION ...]    run the tests
    python3 scripts/go.py check                 lint, types, import order, docs
    python3 scripts/go.py bench [OPTION ...]    run the benchmark

The first start installs requirements.lock, every file checked by its hash, into .venv in the clone;
later starts use it as it is, without the network. OPTIONs go to `stochbind run`, pytest or the benchmark.
"""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "go.key"  # exists in every .venv made here; holds the key only when the install is complete
PYTHON = str(VENV / "bin" / "python")
HOST = getattr(sys, "_base_executable", sys.executable)  # also right when called from inside .venv
interrupted = []


def call(*command, **options):
    """Run a command in the clone, let it finish even after Ctrl-C, and return its exit code."""
    sys.stdout.flush()
    process = subprocess.Popen(command, cwd=str(ROOT), **options)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    if interrupted:
        sys.exit(130)
    return code if code >= 0 else 128 - code


def show(*command):
    """Run a command after printing it, and return its exit code."""
    print("$ " + " ".join(["python", *command[1:]] if command[0] == PYTHON else command))
    return call(*command)


def key():
    """Return the digest of everything that decides what .venv must contain."""
    import tomllib  # Python 3.11 or newer only

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = [(ROOT / "requirements.lock").read_text(), project["project"], project["build-system"]]
    return hashlib.sha256(repr([*parts, sys.version, str(ROOT)]).encode()).hexdigest()


def ready():
    return os.path.exists(PYTHON) and STAMP.exists() and STAMP.read_text() == key()


def install():
    """Make .venv from requirements.lock, unless it is there already and complete."""
    if ready():
        return
    import fcntl

    with open(str(ROOT / ".venv.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another start may be installing: wait for it
        if not ready():
            start = time.monotonic()
            print("Installing the locked packages into .venv (once; about a minute) ...")
            build()
            print("Installed in {:.0f} s.".format(time.monotonic() - start))


def build():
    old = ROOT / ".venv.old"
    if VENV.exists() and not STAMP.exists():
        sys.exit(".venv exists but was not made by scripts/go.py: rename or remove it, then start again.")
    shutil.rmtree(str(old), ignore_errors=True)
    if VENV.exists():
        VENV.rename(old)
        shutil.rmtree(str(old), ignore_errors=True)
    VENV.mkdir()
    STAMP.write_text("incomplete")
    pip = [PYTHON, "-m", "pip"]
    if call(HOST, "-m", "venv", str(VENV), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        # Debian without python3-venv: the host's pip installs into a venv that has none
        pip = [HOST, "-m", "pip", "--python", PYTHON]
        if call(HOST, "-m", "pip", "--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            print("Python has neither venv nor pip here: sudo apt install python3-venv python3-pip")
            sys.exit(3)
        if call(HOST, "-m", "venv", "--clear", "--without-pip", str(VENV)):
            sys.exit(1)
        STAMP.write_text("incomplete")
    # sdeint has no wheel: what builds it comes first, from the same lock, so that every file has a hash
    lock = (ROOT / "requirements.lock").read_text()
    tools = re.findall(r"^(?:packaging|setuptools|wheel)==(?:.*\\\n)*.*", lock, re.MULTILINE)
    (VENV / "build.txt").write_text("\n".join(tools) + "\n")
    for step in (
        ["--require-hashes", "-r", str(VENV / "build.txt")],
        ["--require-hashes", "--no-build-isolation", "-r", "requirements.lock"],
        ["--no-deps", "--no-build-isolation", "-e", "."],
    ):
        code = call(*pip, "install", "-qq", *step)
        if code:
            print("The install failed (above is pip's own message). The next start begins it again.")
            sys.exit(code)
    STAMP.with_suffix(".new").write_text(key())
    STAMP.with_suffix(".new").replace(STAMP)


def demo(arguments):
    store = "out/unidirectional_pair.zarr"
    (ROOT / "out").mkdir(exist_ok=True)
    for command in (
        ["run", "scenarios/unidirectional_pair.toml", "-o", store, *arguments],
        ["validate", store],
        ["plot", store, "-o", "out/unidirectional_pair.png"],
    ):
        code = show(PYTHON, "-m", "stochbind.cli", *command)
        if code:
            return code
    return 0


def test(arguments):
    return show(PYTHON, "-m", "pytest", *(arguments or ["tests"]))


def check(arguments):
    commands = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", "-q", "tests/test_import_order.py", "tests/test_docs.py"],
    ]
    if (ROOT / "docs" / "conf.py").exists():
        commands.append(["sphinx", "-q", "-W", "--keep-going", "-d", "out/doctrees", "docs", "out/docs"])
    failed = [" ".join(c) for c in commands if show(PYTHON, "-m", *c)]
    print("\n".join(["FAILED: " + name for name in failed]) or "All checks passed.")
    return 1 if failed else 0


def bench(arguments):
    return show(PYTHON, "scripts/benchmark", *arguments)


def main():
    commands = {"demo": demo, "test": test, "check": check, "bench": bench}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(__doc__)
        return 0 if sys.argv[1:2] in (["-h"], ["--help"]) else 2
    if os.name != "posix" or sys.version_info < (3, 11):
        print("stochbind needs Linux or macOS and Python 3.11 or newer, but this is {} {}.".format(
            sys.platform, sys.version.split()[0]))
        return 3
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(1))
    install()
    return commands[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
