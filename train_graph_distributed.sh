#!/usr/bin/env bash
# Trains with the compiled step (nn.Graph, global tensors): ./train_graph_distributed.sh [CONFIG] [overrides]
#
# CONFIG is configs/demo.py if not given. One rank runs on each card that OneFlow can use, two on the CPU where there is
# none. NPROC (ranks on this node), NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT and MASTER_TOKEN are taken from the
# environment.
exec "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/tools/train.sh" --graph "$@"
