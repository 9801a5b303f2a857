#!/usr/bin/env bash
# What the training scripts share: tools/train.sh --graph|--eager [CONFIG] [overrides]
# SIGUSR1 asks a run to end after its epoch. There is none yet during set-up, which it must not end; Python, which is
# started with it ignored, keeps it from its first moment on.
trap '' USR1
# shellcheck source=tools/enter.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/enter.sh" train "$@"
exec python "$repository/tools/start_training.py" "$@"
