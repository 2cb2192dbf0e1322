#!/bin/sh
# Remake requirements.lock and requirements-bench.lock from pyproject.toml with uv. Versions already locked stay, unless
# told otherwise:
#   sh scripts/lock.sh                          after a change of the dependencies
#   sh scripts/lock.sh --upgrade                take the newest of everything
#   sh scripts/lock.sh --upgrade-package zarr   or of one package
set -e
cd "$(dirname "$0")/.."
lock() {
    uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-emit-index-url --quiet --output-file "$@"
}
lock requirements.lock --extra test --extra check --extra docs --group build "$@"
lock requirements-bench.lock --group build --group bench --constraints requirements.lock "$@"
