# CPU:  docker build -t ssdie:0.1.0 .
# CUDA: docker build -t ssdie:0.1.0-cuda --build-arg DEVICE=cuda .
# Run:  docker run --rm -v "$PWD:/data" ssdie:0.1.0 enhance photos -o enhanced
FROM python:3.12.11-slim-bookworm

# "cuda" adds PyTorch, whose Linux packages bring CUDA; a CPU does without it
ARG DEVICE=cpu

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY ssdie ssdie
# bokeh draws the dashboard of Dask
RUN case "${DEVICE}" in \
        cpu) extras=formats,cluster ;; \
        cuda) extras=formats,cluster,train ;; \
        *) echo "DEVICE: expected cpu or cuda, got ${DEVICE}." >&2; exit 1 ;; \
    esac \
    && pip install --constraint constraints.txt ".[${extras}]" bokeh==3.9.2 xyzservices==2026.9.1 \
    && useradd --create-home --uid 1000 ssdie

USER 1000:1000
WORKDIR /data
ENTRYPOINT ["ssdie"]
CMD ["--help"]
