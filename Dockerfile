# Serves the bundled reader: docker run -p 127.0.0.1:8080:8080 tinyreader
# For another model: -v ./runs/mine/student:/model:ro -e TINYREADER_MODEL=/model; user 10001 must be able to read its files.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/tinyreader \
    && /opt/tinyreader/bin/pip install --no-cache-dir --disable-pip-version-check ".[serve,search,documents]"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /index --shell /usr/sbin/nologin tinyreader \
    && mkdir /index && chown tinyreader /index
COPY --from=build /opt/tinyreader /opt/tinyreader
ENV PATH=/opt/tinyreader/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 \
    TINYREADER_HOST=0.0.0.0 TINYREADER_PORT=8080 TINYREADER_INDEX=/index/folder
USER 10001
VOLUME /index
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["tinyreader", "serve"]
