#!/usr/bin/env bash
# Sourced by the scripts at their beginning: sets `arguments` to theirs, goes to the repository and sets it up.
# A path that a user types is meant from where they stand; those in configs are meant from the repository.
set -euo pipefail

repository=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
arguments=("$@")
if [[ ! $PWD -ef $repository ]]; then
    # Keys and options that take a path; other values are taken for paths if they hold a slash.
    names='output|ofrecord_path|val_path|pretrained|pretrained_head|model_path|out_path|calibration|pairs|root|out|embeddings'
    before=
    for i in "${!arguments[@]}"; do
        argument=${arguments[i]}
        if [[ $argument =~ ^([-a-z_]+=)([^\(\[\"\'].*/.*)$ || $argument =~ ^(-*($names)=)[^\"\'] ]]; then
            value=${argument#*=}
            [[ $value == None ]] || arguments[i]=${argument%%=*}=$(realpath -m -- "$value")
        elif [[ $before =~ ^--($names)$ || -f $argument || ($argument == */* && -e $argument) ]]; then
            arguments[i]=$(realpath -m -- "$argument")
        fi
        before=$argument
    done
fi
cd -- "$repository"
source ./setup.sh
