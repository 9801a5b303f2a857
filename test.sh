#!/usr/bin/env bash
# Style and tests: ./test.sh [pytest arguments]
#
#   ./test.sh                       all of them, two at a time
#   ./test.sh -m fast               those that start no processes, within a minute
#   ./test.sh tests/heads -x        one folder, until the first failure
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh" "" "$@"
cd -- "$repository"
# An environment of somebody's own is theirs to fill, from requirements-test.txt.
[[ ! ${VIRTUAL_ENV:-} -ef .venv ]] || ./setup.sh test >/dev/null
python -m ruff check .
python -m ruff format --check .
python -m mypy
# The tests start hundreds of processes: what they import is compiled once, whatever the shell says.
unset PYTHONDONTWRITEBYTECODE
# OneFlow's threads of BLAS wait for each other by spinning, which two workers on two cores have no time for.
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
# Two at a time, as most tests leave a core free; a file's tests share their set-up, so they stay together.
exec python -m pytest -n 2 --dist loadfile "$@"
