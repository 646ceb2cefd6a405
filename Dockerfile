# One image for API, worker, migrations and sandbox; docker-compose.yml and ops/kubernetes choose the command.
FROM python:3.13-slim AS packages
WORKDIR /srv
COPY requirements.lock .
RUN python -m venv /srv/.venv \
    && /srv/.venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

FROM python:3.13-slim
# A number, so that Kubernetes can see that it is not root.
RUN useradd --system --uid 10001 --home-dir /srv supportly
WORKDIR /srv
COPY --from=packages /srv/.venv /srv/.venv
COPY supportly supportly
COPY workflows workflows
COPY activities activities
COPY api api
COPY sandbox sandbox
COPY worker.py .
# One thread a product of small matrices: more only wait for one another; two arenas, for the memory of large batches.
ENV PATH=/srv/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 MALLOC_ARENA_MAX=2
# Compiled once here: the file system may be read-only, and every start would be two seconds later.
RUN python -m compileall -q supportly workflows activities api sandbox worker.py
USER 10001
EXPOSE 8000 9464 9465
# For the API; compose and Kubernetes bring checks of their own for the others.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["python", "-m", "api", "--host", "0.0.0.0"]
