#!/usr/bin/env bash
# Sourced by the scripts at their beginning, with the name of their help text: sets `repository`, and sets it up. The
# programs run where the user stands, so paths mean what the user means; they know which of their options are paths.
set -euo pipefail

repository=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
for argument in "${@:2}"; do
    case $argument in
        -h | --help) exec cat -- "$repository/docs/help/$1.txt" ;; # before anything is installed
    esac
done
# shellcheck source=setup.sh
source "$repository/setup.sh"
