# One recipe for every deployable: docker build --build-arg DEPLOYABLE=services.post --build-arg EXTRA=cassandra .
# The gateway has a target of its own: docker build --target gateway --build-arg DEPLOYABLE=gateway .

FROM python:3.11-slim-bookworm AS requirements
ARG EXTRA=base
RUN python -m venv --without-pip /venv
COPY requirements/install requirements/${EXTRA}.txt /requirements/
RUN PIP_COMPILE=0 PIP_NO_CACHE_DIR=1 /requirements/install "$EXTRA" pip --python /venv/bin/python

FROM python:3.11-slim-bookworm AS room
ARG DEPLOYABLE
WORKDIR /tree
COPY . .
RUN room=$(printf %s "${DEPLOYABLE:?say which deployable}" | tr . /) \
 && mkdir -p "/app/$(dirname "$room")" \
 && cp -R libs /app/ \
 && cp -R "$room" "/app/$room" \
 && if [ -f "$(dirname "$room")/__init__.py" ]; then cp "$(dirname "$room")/__init__.py" "/app/$(dirname "$room")/"; fi

# The gateway's API reference. BuildKit builds this for the target `gateway` alone.
FROM python:3.11-slim-bookworm AS swagger-ui
RUN apt-get update \
 && apt-get install -y --no-install-recommends maven \
 && rm -rf /var/lib/apt/lists/*
COPY devstack/fetch-jars /devstack/
COPY devstack/jars/swagger-ui.* /devstack/jars/
RUN mv "$(/devstack/fetch-jars swagger-ui)"/*.jar /swagger-ui.jar

FROM python:3.11-slim-bookworm AS runtime
# Named volumes take their owner from here. `objects` is shared by the media service and its worker.
RUN groupadd --gid 10001 feedmill \
 && useradd --uid 10001 --gid feedmill --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin feedmill \
 && install -d -o feedmill -g feedmill -m 0750 /var/lib/feedmill /var/lib/feedmill/objects /var/lib/feedmill/jwt /var/lib/feedmill-traces \
 && install -d -o feedmill -g feedmill -m 0755 /var/lib/feedmill-gateway /var/lib/feedmill-observability
COPY --from=requirements /venv /venv
COPY --from=room /app /app
ARG DEPLOYABLE
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FEEDMILL_DEPLOYABLE=${DEPLOYABLE} FEEDMILL_HOST=0.0.0.0 FEEDMILL_PORT=8000
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# As long as the stores have: on a machine that is busy, Python alone needs a minute to start.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-IS", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FEEDMILL_PORT'] + '/health/live', timeout=3)"]
ENTRYPOINT ["sh", "-c", "exec python -m \"$FEEDMILL_DEPLOYABLE\" \"$@\"", "feedmill"]

FROM runtime AS gateway
COPY --from=swagger-ui /swagger-ui.jar /usr/local/share/feedmill/
ENV FEEDMILL_GATEWAY_SWAGGER_UI_JAR=/usr/local/share/feedmill/swagger-ui.jar

# Last, so that it is what a build without a target makes.
FROM runtime AS deployable
