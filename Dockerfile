# An image with egpo-trl and its recipes.
#   CPU:  docker build -t egpo-trl --build-arg PIP_ARGS="--extra-index-url <the CPU index that PyTorch's install page names>" .
#   CUDA: docker build -t egpo-trl:cuda --build-arg BASE=nvidia/cuda:12.8.1-devel-ubuntu24.04 --build-arg EXTRAS=deepspeed,quantization,trackers .
#   docker run --rm --gpus all -v "$PWD":/host egpo-trl:cuda egpo-trl train --config configs/train/qwen3_0.6b.yaml --output_dir /host/run
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG PIP_ARGS=""
ARG EXTRAS="trackers"
ENV DEBIAN_FRONTEND=noninteractive PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false PATH=/opt/egpo/bin:$PATH
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-dev python3-venv build-essential git \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/egpo
WORKDIR /opt/egpo-trl
# The versions that the tests ran with, first: they change less often than the source.
COPY pyproject.toml constraints.txt README.md CHANGELOG.md LICENSE ./
RUN pip install --no-cache-dir ${PIP_ARGS} -c constraints.txt torch trl transformers peft accelerate datasets
COPY scripts ./scripts
COPY docs ./docs
COPY src ./src
COPY configs ./configs
COPY train.py ./
RUN pip install --no-cache-dir ${PIP_ARGS} -c constraints.txt ".[${EXTRAS}]"
CMD ["egpo-trl", "--help"]
