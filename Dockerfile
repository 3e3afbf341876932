# CPU:  docker build -t ssdie .
# CUDA: docker build -t ssdie:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 --build-arg EXTRAS=all,cluster,train .
FROM python:3.12.11-slim-bookworm

ARG EXTRAS=all,cluster
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 PIP_NO_CACHE_DIR=1

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY ssdie ssdie
RUN pip install --extra-index-url "${TORCH_INDEX}" ".[${EXTRAS}]" \
    && useradd --create-home --uid 1000 ssdie

USER ssdie
WORKDIR /srv/ssdie
ENTRYPOINT ["ssdie"]
CMD ["--help"]
