#!/usr/bin/env bash
# Verifies a trained model on the .bin sets of a config: ./val.sh [CONFIG] [--model MODEL] [overrides]
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh" val "$@"
exec python "$repository/val.py" "$@"
