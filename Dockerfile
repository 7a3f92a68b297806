# One image, one console script per process: docker run IMAGE tiketi-auth
# Needs neither root nor a writable disk: docker run --read-only --cap-drop ALL --user 10001 ...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# What comes from elsewhere is what the locks name, to the byte.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/hatch \
 && /opt/hatch/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt \
 && python -m venv --without-pip /opt/tiketi \
 && /opt/hatch/bin/pip --python /opt/tiketi install --no-cache-dir --require-hashes --only-binary :all: \
      -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY operator operator/
COPY runtime runtime/
COPY services services/
COPY infra/local/tiketi_local infra/local/tiketi_local/
RUN /opt/hatch/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/hatch/bin/pip --python /opt/tiketi install --no-cache-dir --no-deps --no-index dist/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="Tiketi" \
      org.opencontainers.image.description="Operator and services of Tiketi, a ticket sale as one Kubernetes object" \
      org.opencontainers.image.licenses="Apache-2.0"
# USER: kopf asks for the name of its user, and a bare number has none.
ENV PATH=/opt/tiketi/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=tiketi
COPY --from=build /opt/tiketi /opt/tiketi
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["tiketi-ticket"]
