#!/bin/sh
# Remake requirements.lock from pyproject.toml with uv. Versions already locked stay, unless told otherwise:
#   sh scripts/lock.sh                          after a change of the dependencies
#   sh scripts/lock.sh --upgrade                take the newest of everything
#   sh scripts/lock.sh --upgrade-package zarr   or of one package
cd "$(dirname "$0")/.." && exec uv pip compile pyproject.toml --all-extras --group build \
    --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
    --quiet --output-file requirements.lock "$@"
