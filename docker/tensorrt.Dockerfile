# pytest-lem with the engine TensorRT-LLM, built from the root of the repository:
#   docker build -f docker/tensorrt.Dockerfile -t lem-tensorrt .
# BASE is NVIDIA's image of the release that docker/constraints/tensorrt.txt has. It comes
# with the engine and all that this needs; pytest-lem is put beside it.
ARG BASE=nvcr.io/nvidia/tensorrt-llm/release:1.2.1

FROM ${BASE} AS build
COPY pyproject.toml README.md LICENSE /src/
COPY pytest_lem /src/pytest_lem
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM ${BASE}
COPY docker/constraints/tensorrt.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
# The constraints hold what is there already as it is.
RUN PIP_CONSTRAINT=/tmp/constraints.txt \
    python3 -m pip install --no-cache-dir /wheels/*.whl \
    && rm -r /wheels
# Whoever runs it, under whatever number, can write here.
RUN mkdir -p -m 1777 /home/lem
ENV HOME=/home/lem USER=lem
WORKDIR /home/lem
USER 1000:1000
