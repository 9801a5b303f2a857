#!/usr/bin/env bash
# Sourced by the scripts at their beginning, as `enter.sh PROGRAM ARGUMENT ...`: sets `repository`, and sets it up.
# The programs run where the user stands, so a path means what the user means by it.
set -euo pipefail

repository=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
for argument in "${@:2}"; do
    case $argument in
        -h | --help) # before anything is installed; a script without a program says what its first comment does
            [[ -z $1 ]] || exec cat -- "$repository/docs/help/$1.txt"
            exec sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
            ;;
    esac
done
# shellcheck source=setup.sh
source "$repository/setup.sh"
