#!/usr/bin/env bash
# Pins requirements.txt, and what is added to it, from their .in: tools/compile_requirements.sh [--upgrade]
# Pins that still fit are kept, unless --upgrade is given. Needs uv, on PATH or as setup.sh fetched it.
set -euo pipefail
case ${1:-} in -h | --help) exec sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" ;; esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$PWD/.uv/bin
for name in requirements requirements-test requirements-spark requirements-flowvision requirements-trackers requirements-docs; do
    constraint=() # all are installed into one environment
    [[ $name == requirements ]] || constraint=(--constraint requirements.txt)
    # No header and no annotations: they would hold this machine's paths and registry.
    uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --python-version 3.10 --python-platform x86_64-manylinux_2_28 "$@" "${constraint[@]}" \
        --output-file "$name.txt" "$name.in"
done
