#!/usr/bin/env bash
# Trains with the eager step, data-parallel: ./train_ddp.sh [CONFIG] [overrides]
#
# Everything else is as in train_graph_distributed.sh.
exec "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/train.sh" --eager "$@"
