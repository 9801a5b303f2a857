#!/usr/bin/env bash
# The environment of every script here. `source setup.sh` puts it first on PATH; `./setup.sh` only makes it and prints
# the folder of its programs. `./setup.sh test` adds what ./test.sh needs, `spark` what tools/spark_2_ofrecord.py needs,
# `flowvision` its networks, `trackers` Weights & Biases and MLflow, `docs` the program that makes a site of docs/.
#
# The active environment is taken if it has OneFlow. Else .venv is made from requirements.txt, once, by uv on Python 3.10.
# A stamp in it holds the checksum of the requirements that are installed, or "unfinished" until they are: the next run
# then finishes an interrupted set-up, and follows changed requirements.

if (return 0 2>/dev/null); then
    # Sourced: a bash of its own does the work, so that no option, function or exit of it reaches this shell.
    _setup_bin=$(bash "$(dirname -- "${BASH_SOURCE[0]:-$0}")/setup.sh") || return
    case "$PATH:" in
        "$_setup_bin:"*) ;;
        *) export PATH="$_setup_bin:$PATH" ;;
    esac
    if [ -f "${_setup_bin%/bin}/pyvenv.cfg" ]; then
        export VIRTUAL_ENV="${_setup_bin%/bin}"
    fi
    # OneFlow warns of a missing CUDA driver at every import; warnings are level 1.
    export GLOG_minloglevel="${GLOG_minloglevel:-2}"
    if [[ -n ${BASH_VERSION:-} && $- == *i* ]]; then
        source "$(dirname -- "${BASH_SOURCE[0]}")/tools/completion.bash"
    fi
    unset _setup_bin
    return 0
fi

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd)
stamp=.venv/.requirements.sha256
log=.uv/setup.log

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "setup.sh: $*"
    exit 2
}

# Prints the folder of the active python if that can import OneFlow. An import takes a second, so where the libraries
# that OneFlow loads from beside itself are in place it is taken for granted.
active_bin() {
    python - 2>/dev/null <<'EOF'
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

package = Path(importlib.util.find_spec("oneflow").origin).parent
release = importlib.metadata.version("oneflow").split(".")
if (int(release[0]), int(release[1])) < (0, 9):
    sys.exit("a stub")
if not (package.parent / "nvidia/cudnn/lib").is_dir():
    import oneflow
print(Path(sys.executable).parent)
EOF
}

venv_is_ready() {
    [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$(sha256sum <requirements.txt)" ]]
}

# Prints the command of uv: the one on PATH, or one fetched into .uv without root.
find_uv() {
    local uv=$root/.uv/bin/uv python
    if uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    if ! "$uv" --version >/dev/null 2>&1; then
        say "Fetching uv, which installs Python packages ..."
        # From / so that pyenv does not look for the version in our .python-version, which may be absent.
        for python in python3 python; do
            (cd / && "$python" -m pip install --quiet --upgrade --target "$root/.uv" uv) >>"$log" 2>&1 && break
        done
    fi
    if ! "$uv" --version >/dev/null 2>&1; then
        # No Python with pip: uv's own installer.
        { curl -LsSf https://astral.sh/uv/install.sh || wget -qO- https://astral.sh/uv/install.sh; } 2>>"$log" |
            UV_INSTALL_DIR=$root/.uv/bin UV_NO_MODIFY_PATH=1 sh >>"$log" 2>&1 || true
    fi
    if ! "$uv" --version >/dev/null 2>&1; then
        die "uv could not be fetched: check the network, or install uv and run this again (details: $log)."
    fi
    printf '%s\n' "$uv"
}

is_python310() {
    [[ -x $1 ]] && "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1
}

# Prints a Python 3.10: one that uv finds, one of pyenv's, or one that uv downloads.
find_python() {
    local python
    for python in "$("$1" python find --system cpython@3.10 2>>"$log")" \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.10*/bin/python3.10; do
        if is_python310 "$python"; then
            printf '%s\n' "$python"
            return
        fi
    done
    say "Fetching Python 3.10 ..."
    "$1" python install cpython@3.10 >>"$log" 2>&1 || true
    python=$("$1" python find --system cpython@3.10 2>>"$log") || true
    if ! is_python310 "$python"; then
        die "no Python 3.10 was found and none could be downloaded: install one (pyenv install 3.10) and run this again."
    fi
    printf '%s\n' "$python"
}

# Stops unless there is room for the packages, here and where uv keeps its cache (often the same disk, then linked).
check_disk() {
    local cache free
    cache=$("$1" cache dir 2>>"$log")
    mkdir -p "$cache"
    free=$(df -Pk . "$cache" | awk 'NR > 1 && (min == "" || $4 < min) { min = $4 } END { print int(min / 1e6) }')
    if ((free < 5)); then
        die "the environment needs 5 GB of disk space and only $free GB are free here or in uv's cache ($cache)."
    fi
}

# Makes an empty .venv that is known as unfinished from its first moment.
new_venv() {
    local python
    check_disk "$1"
    python=$(find_python "$1")
    say "Setting up .venv (once, about 4.3 GB) ..."
    rm -rf .uv/old
    if [[ -e .venv ]]; then
        mv .venv .uv/old # in one step, so that no later run meets half of it
        rm -rf .uv/old
    fi
    mkdir .venv
    echo unfinished >"$stamp"
    "$1" venv --quiet --allow-existing --python "$python" .venv 2>>"$log" || die ".venv could not be made (details: $log)."
}

make_venv() {
    local uv
    uv=$(find_uv)
    # What was being unpacked when a set-up was interrupted looks installed to uv: begin again, from uv's cache.
    if [[ ! -x .venv/bin/python || (-f $stamp && $(<"$stamp") == unfinished) ]]; then
        new_venv "$uv"
    elif is_python310 .venv/bin/python; then
        say "Bringing .venv up to requirements.txt ..."
        echo unfinished >"$stamp"
    else
        die ".venv is there and is not of Python 3.10: move it away and run this again."
    fi

    # uv's own words go to the log; of them only the names of the large files are shown.
    if ! "$uv" pip install --python .venv/bin/python -r requirements.txt 2>&1 | tee -a "$log" |
        sed -un 's/^ *Downloading /  downloading /p' >&2; then
        if grep -qi 'no space left' "$log"; then
            die "the disk is full: free some space and run this again."
        elif grep -qiE 'failed to fetch|sending request|dns error|connect|timed out' "$log"; then
            die "the packages could not be downloaded: check the network and run this again (details: $log)."
        fi
        die "the packages could not be installed (details: $log)."
    fi
    if ! GLOG_minloglevel=2 .venv/bin/python -c 'import oneflow, mxnet' >>"$log" 2>&1; then
        die "the packages do not import; on a bare Debian or Ubuntu 'apt-get install libgomp1 libquadmath0' helps" \
            "($(tail -n 1 "$log"))."
    fi
    sha256sum <requirements.txt >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "Ready."
}

# Builds the CPU kernels of native/ where that is possible; quick if they are there. Runs go without them otherwise.
build_kernels() {
    [[ ! -f native/build.py ]] || "$1/python" native/build.py >&2 || true
}

# Installs what requirements-$1.txt lists, which is called $2 and takes about $3.
install_extra() {
    local uv
    local file=requirements-$1.txt extra_stamp=.venv/.$1.sha256
    [[ -f $extra_stamp && $(<"$extra_stamp") == "$(sha256sum <"$file")" ]] && return
    uv=$(find_uv)
    say "Installing $2 (once, about $3) ..."
    "$uv" pip install --python .venv/bin/python -r "$file" >>"$log" 2>&1 ||
        die "$2 could not be installed: check the network and the disk, and run this again (details: $log)."
    sha256sum <"$file" >"$extra_stamp"
}

case "${1:-}" in
    '' | test | spark | flowvision | trackers | docs) ;;
    -h | --help)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$root/setup.sh"
        exit
        ;;
    *) die "'$1' is not known; ./setup.sh, and it with test, spark, flowvision, trackers or docs, are." ;;
esac

# An environment that somebody activated comes first; asking it takes time, so it is not done where there is no other.
activated=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
cd -- "$root" >/dev/null
if [[ -n $activated && ! $activated -ef .venv ]] || ! venv_is_ready; then
    if bin=$(active_bin) && [[ ! $bin -ef .venv/bin ]]; then
        [[ -z ${1:-} ]] || die "the active environment is used: install requirements-$1.txt into it yourself."
        build_kernels "$bin"
        printf '%s\n' "$bin"
        exit
    fi
fi

if ! venv_is_ready; then
    [[ $(uname -sm) == "Linux x86_64" ]] || die "OneFlow 0.9.0 runs on Linux x86-64 only; this is $(uname -sm)."
    mkdir -p .uv 2>/dev/null || die "$root cannot be written to."
    exec 9>.uv/lock
    if ! flock --nonblock 9; then
        say "Another set-up of this folder is running; waiting for it ..."
        flock 9
    fi
    : >"$log"
    venv_is_ready || make_venv
fi
case "${1:-}" in
    test) install_extra test "what the tests need" "0.3 GB" ;;
    spark) install_extra spark PySpark "0.4 GB" ;;
    flowvision) install_extra flowvision flowvision "10 MB" ;;
    trackers) install_extra trackers "Weights & Biases and MLflow" "0.2 GB" ;;
    docs) install_extra docs mkdocs "50 MB" ;;
esac
build_kernels .venv/bin
printf '%s\n' "$root/.venv/bin"
