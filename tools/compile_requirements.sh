#!/usr/bin/env bash
# Pins requirements.txt from requirements.in: tools/compile_requirements.sh [--upgrade]
# Pins that still fit are kept, unless --upgrade is given. Needs uv, on PATH or as setup.sh fetched it.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$PWD/.uv/bin
# No header and no annotations: they would hold this machine's paths and registry.
uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --python-version 3.10 --python-platform x86_64-manylinux_2_28 "$@" --output-file requirements.txt requirements.in
