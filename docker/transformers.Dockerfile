# pytest-lem with the engine transformers, built from the root of the repository:
#   docker build -f docker/transformers.Dockerfile -t lem-transformers .
# BASE is any Debian or Ubuntu with Python 3.11 or newer, its headers, venv and pip. GPUs
# need nothing more: their libraries come with torch, their driver from the host.
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
COPY docker/constraints/transformers.txt /src/constraints.txt
RUN pip install torch transformers accelerate peft
# What pytest-lem depends on apart from itself, which changes more often.
COPY pyproject.toml README.md LICENSE /src/
COPY pytest_lem/__init__.py /src/pytest_lem/
RUN pip install "/src[transformers]" && pip uninstall --yes pytest-lem
COPY pytest_lem /src/pytest_lem
RUN pip install --no-deps /src

FROM ${BASE}
# torch compiles for itself with it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
# Whoever runs it, under whatever number, can write here.
RUN mkdir -m 1777 /home/lem
ENV PATH=/opt/venv/bin:$PATH HOME=/home/lem USER=lem
WORKDIR /home/lem
USER 1000:1000
