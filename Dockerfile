# The trainer with all its packages, for CPUs and cards alike:
#
#   docker build --tag oneflow-faces .
#   docker build --tag oneflow-faces --build-arg BASE=nvidia/cuda:11.7.1-base-ubuntu22.04 .
#
# The second also asks Docker for the machine's cards; CUDA's libraries come with the Python packages either way, and the
# driver (CUDA 11.7 or newer) from the host. docs/machines.md has the commands to run it.
ARG BASE=ubuntu:22.04
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Ubuntu 22.04's own Python is the one that OneFlow needs. The two libraries are mxnet's, the compiler is for native/.
# hadolint ignore=DL3008
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates g++ libgomp1 libquadmath0 python3.10 python3.10-venv python3-pip && \
    rm -rf /var/lib/apt/lists/*

WORKDIR /trainer

# The packages have a layer of their own, which stays while only the trainer changes. pyproject.toml says what uv leaves
# out: without it, an OpenCV that needs X11 would come along.
COPY setup.sh requirements.txt pyproject.toml ./
RUN UV_NO_CACHE=1 ./setup.sh

COPY . .
# Compiles the kernels for CPUs, and makes the folders that the demo writes to: the container may run as any user.
RUN ./setup.sh && mkdir -p work_dirs demo_data datasets && chmod 1777 work_dirs demo_data datasets

ENV HOME=/tmp
CMD ["bash"]
