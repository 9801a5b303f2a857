#!/usr/bin/env bash
# Verifies a trained model on the .bin sets of a config: ./val.sh [CONFIG] --model_path ... [overrides]
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh"
exec python val.py "${arguments[@]}"
