#!/usr/bin/env bash
# Exports a trained model as ONNX: ./convert.sh [CONFIG] [--model MODEL] [--out FILE] [--help]
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/enter.sh" export "$@"
exec python "$repository/export.py" "$@"
