# docker build -t fml_jax .
# docker run --rm -v "$PWD:/data" fml_jax --input=/data/photo.jpg --output=/data/out
FROM python:3.11-slim
# OpenCV and MediaPipe load libGL and libEGL, which slim images lack.
RUN apt-get update && apt-get install --yes --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
# On an NVIDIA GPU: '.[landmarks,cuda]' in the next line, and `docker run --gpus=all`.
RUN cd /src && pip install --no-cache-dir --constraint requirements.txt '.[landmarks]' && rm -rf /src
WORKDIR /data
ENTRYPOINT ["fml-reconstruct"]
