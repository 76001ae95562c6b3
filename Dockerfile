# The speech server as an image, to be built by whoever runs it:
#
#     docker build --build-arg DEVICE=cpu -t whisper .
#
# DEVICE           cuda or cpu: which build of torch
# FETCH            a model's name, such as turbo: its weights go into the image; without it mount them at /models
# WHISPER_HUB      where FETCH finds it, if not at OpenAI's address
# PYTHON_IMAGE     a slim Debian with Python 3.11, for a registry of your own
# PIP_INDEX_URL    a package index of your own; if it wants a password: --secret id=pip,src=pip.conf
# TORCH_CPU_INDEX  where DEVICE=cpu finds torch
#
# HTTP_PROXY, HTTPS_PROXY and NO_PROXY are build arguments that Docker knows by itself.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
ARG DEVICE=cuda
ARG PIP_INDEX_URL
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/whisper
RUN python -m venv /opt/venv
COPY requirements.txt constraints-cuda.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    case "$DEVICE" in \
        cuda) ;; \
        cpu) pip install --no-deps --index-url "$TORCH_CPU_INDEX" "$(grep -o '^torch==[^ ]*' requirements.txt)" ;; \
        *) echo "DEVICE is '$DEVICE'; it must be cuda or cpu." >&2; exit 1 ;; \
    esac && \
    pip install -r requirements.txt

FROM packages AS weights
ARG FETCH
ARG WHISPER_HUB
COPY app app
RUN mkdir /models && \
    if [ -n "$FETCH" ]; then python -m app checkpoint fetch "$FETCH" --to /models; fi

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 whisper && \
    useradd --uid 10001 --gid 10001 --create-home whisper
COPY --from=packages /opt/venv /opt/venv
COPY --from=weights --chown=10001:10001 /models /models
WORKDIR /srv/whisper
COPY LICENSE gunicorn.conf.py wsgi.py requirements.txt ./
COPY models models
COPY app app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOST=0.0.0.0 \
    PORT=8000 \
    WHISPER_MODEL_DIR=/models
USER 10001:10001
EXPOSE 8000
# The port is silent while the model is fetched and loaded.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8000/ready', timeout=4)"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
