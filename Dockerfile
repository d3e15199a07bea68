# The importer; and, as a stage of its own, the simulated portal for demos and tests.
#   docker build --tag crm-importer --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker build --tag crm-importer:tracing --build-arg LOCK=requirements-tracing.txt .
#   docker build --target sandbox --tag crm-importer-sandbox .
# No HEALTHCHECK: Kubernetes and the OCI format ignore it, probes are described in deploy/reference.md.
# The tag says what it is, the digest which one; the weekly run in .github/workflows tells when the
# tag has moved on.
ARG PYTHON_IMAGE=python:3.13-slim-trixie@sha256:ffb752e139c0a19692a43af8d8523b274222dd68eebad5d583b45c2201c6e30a

# ---- build: an environment out of the hashed lock, and the application, both compiled ----

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# requirements-tracing.txt adds OpenTelemetry.
ARG LOCK=requirements.txt
COPY deploy/requirements.txt deploy/requirements-tracing.txt /lock/
# Exactly what the lock lists, proved whole by the check. The environment has no pip of its own;
# nothing in it is compiled or fetched later.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/importer \
    && python -m pip --python /opt/importer/bin/python install \
        --no-compile --no-deps --require-hashes --requirement "/lock/${LOCK}" \
        --report /lock/report.json \
    && python -m pip --python /opt/importer/bin/python check \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/importer/lib
COPY service /app/service
COPY deploy/sbom.py /lock/
RUN python -m compileall -q --invalidation-mode unchecked-hash /app/service \
    && PYTHONPATH=/app /opt/importer/bin/python /lock/sbom.py /lock/report.json > /app/sbom.json

# ---- sandbox: the simulated portal; not part of the importer ----

FROM build AS sandbox
COPY tests/requirements.txt /lock/tests.txt
# Only the web server and what it needs; a name that is missing here fails the check.
RUN --mount=type=cache,target=/root/.cache/pip \
    awk '/^[^ ]/ { keep = /^(aiohappyeyeballs|aiohttp|aiosignal|attrs|frozenlist|idna|multidict|propcache|typing-extensions|yarl)==/ } keep' \
        /lock/tests.txt > /lock/sandbox.txt \
    && python -m venv --without-pip /opt/sandbox \
    && python -m pip --python /opt/sandbox/bin/python install \
        --no-compile --no-deps --require-hashes --requirement /lock/sandbox.txt \
    && python -m pip --python /opt/sandbox/bin/python check
ENV PATH=/opt/sandbox/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /sandbox
COPY tests/sandbox ./tests/sandbox
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "tests.sandbox", "--host", "0.0.0.0", "--port", "8080"]

# ---- runtime: what is deployed ----

FROM ${PYTHON_IMAGE} AS runtime
# Nothing becomes root, and nothing is installed: neither is needed here, and both would be scanned.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* \
    && groupadd --gid 10001 importer \
    && useradd --uid 10001 --gid importer --no-log-init --no-create-home \
        --home-dir /nonexistent --shell /usr/sbin/nologin importer
COPY --from=build /opt/importer /opt/importer
COPY --from=build /app /app
COPY LICENSE /app/
# The command's name, for people who type it in the container.
RUN printf '#!/bin/sh\ncd /app && exec python -m service "$@"\n' > /opt/importer/bin/crm-importer \
    && chmod 755 /opt/importer/bin/crm-importer
ARG VERSION=unknown
ARG REVISION=unknown
# Shown by the metric importer_build_info. Last, so that a new revision leaves the layers above.
RUN echo "${REVISION}" > /app/service/REVISION
ARG SOURCE=unknown
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="crm-importer" \
      org.opencontainers.image.vendor="The crm-importer authors" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.description="Imports item events from RabbitMQ into one Bitrix24 portal" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/importer/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "service"]
