#!/usr/bin/env bash
# Sourced by the scripts at their beginning: sets `arguments` to theirs, goes to the repository and sets it up.
# A path that a user types is meant from where they stand; those in configs are meant from the repository.
set -euo pipefail

repository=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
arguments=("$@")
if [[ ! $PWD -ef $repository ]]; then
    before=
    for i in "${!arguments[@]}"; do
        argument=${arguments[i]}
        if [[ $argument =~ ^([-a-z_]+=)([^\(\[\"\'].*/.*)$ ]] ||
            [[ $argument =~ ^(-*(output|ofrecord_path|val_path|pretrained|model_path|out_path|calibration)=)([^\"\'].*)$ && $argument != *=None ]]; then
            arguments[i]=${BASH_REMATCH[1]}$(realpath -m -- "${argument#*=}")
        elif [[ -f $argument || ($argument == */* && -e $argument) || $before == --@(model_path|out_path|calibration) ]]; then
            arguments[i]=$(realpath -m -- "$argument")
        fi
        before=$argument
    done
fi
cd -- "$repository"
source ./setup.sh
