#!/usr/bin/env bash
# Style and tests: ./test.sh [pytest arguments]
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh"
python -m ruff check .
python -m ruff format --check .
exec python -m pytest "${arguments[@]}"
