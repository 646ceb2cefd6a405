# One image for API, worker, migrations and sandbox; docker-compose.yml chooses the command.
FROM python:3.13-slim AS packages
WORKDIR /srv
COPY requirements.lock .
RUN python -m venv /srv/.venv \
    && /srv/.venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

FROM python:3.13-slim
RUN useradd --system --home-dir /srv supportly
WORKDIR /srv
COPY --from=packages /srv/.venv /srv/.venv
COPY supportly supportly
COPY workflows workflows
COPY activities activities
COPY api api
COPY sandbox sandbox
COPY worker.py .
# One thread a product of small matrices: more only wait for one another. Two malloc arenas: threads that embed in turn
# would each keep what the largest batch took.
ENV PATH=/srv/.venv/bin:$PATH PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 MALLOC_ARENA_MAX=2
USER supportly
EXPOSE 8000
CMD ["uvicorn", "api.app:create_app", "--factory", "--host", "0.0.0.0", "--port", "8000"]
