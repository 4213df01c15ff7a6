# damrs-dgl with the versions of the lock (constraints.txt).
#   docker build -t damrs-dgl .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" damrs-dgl --recipe shop.toml build-graphs fit evaluate
FROM python:3.11-slim-bookworm AS build
# Where torch comes from: the CPU build, some 200 MB, instead of the CUDA build's few GB.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/damrs-dgl
WORKDIR /source
COPY constraints.txt ./
# torch first, in a layer of its own: a change of the code does not download it again.
RUN /opt/damrs-dgl/bin/python -m pip install --constraint constraints.txt --index-url "${TORCH_INDEX}" \
    --extra-index-url https://pypi.org/simple torch
COPY pyproject.toml README.md LICENSE ./
COPY recipes recipes
COPY damrs_dgl damrs_dgl
RUN /opt/damrs-dgl/bin/python -m pip install --constraint constraints.txt ".[scale]"

FROM python:3.11-slim-bookworm
# What DGL's library links to; the slim image has no OpenMP.
RUN apt-get update \
    && apt-get install --no-install-recommends --yes libgomp1=12.* \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/damrs-dgl /opt/damrs-dgl
RUN useradd --uid 1000 damrs && mkdir /data && chown damrs /data
# A home that any --user may write to: matplotlib and DGL keep their settings there.
ENV HOME=/tmp PATH=/opt/damrs-dgl/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
RUN damrs-dgl doctor
ENTRYPOINT ["damrs-dgl"]
CMD ["--help"]
