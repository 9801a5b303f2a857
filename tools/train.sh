#!/usr/bin/env bash
# What the training scripts share: tools/train.sh --graph|--eager [CONFIG] [overrides]
# SIGUSR1 asks a run to end after its epoch. There is none yet during set-up, which it must not end; Python, which is
# started with it ignored, keeps it from its first moment on.
trap '' USR1
mode=$1
shift
# shellcheck source=tools/enter.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/enter.sh"

case ${arguments[0]:-} in
    "" | -* | *=*) config=configs/demo.py ;;
    *)
        config=${arguments[0]}
        arguments=("${arguments[@]:1}")
        ;;
esac
prepare=()
if [[ $config == demo || $config -ef configs/demo.py ]]; then
    prepare=(--prepare tools/prepare_demo.py)
fi
exec python -m launch "${prepare[@]}" train.py "$config" "$mode" "${arguments[@]}"
