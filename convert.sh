#!/usr/bin/env bash
# Exports a trained model as ONNX: ./convert.sh [CONFIG] [--model_path ...] [--out_path ...] [--help]
typed=("$@")
for i in "${!typed[@]}"; do
    # A file that is yet to be written; enter.sh knows only those that exist for paths.
    if [[ ${typed[i]} == --out_path && -n ${typed[i + 1]:-} ]]; then
        typed[i + 1]=$(realpath -m -- "${typed[i + 1]}")
    fi
done
set -- "${typed[@]}"
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh"
exec python export.py "${arguments[@]}"
