#!/usr/bin/env bash
# Sourced by the scripts at their beginning: sets `arguments` to theirs, goes to the repository and sets it up.
# A path that a user types is meant from where they stand; those in configs are meant from the repository.
set -euo pipefail

repository=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
arguments=("$@")
if [[ ! $PWD -ef $repository ]]; then
    for i in "${!arguments[@]}"; do
        argument=${arguments[i]}
        if [[ $argument =~ ^([-a-z_]+=)([^\(\[\"\'].*/.*)$ ]]; then
            arguments[i]=${BASH_REMATCH[1]}$(realpath -m -- "${BASH_REMATCH[2]}")
        elif [[ -e $argument ]]; then
            arguments[i]=$(realpath -- "$argument")
        fi
    done
fi
cd -- "$repository"
source ./setup.sh
