"""The API's own process, asked to stop while callers wait."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx

from supportly.dev.processes import Child, free_port, http_status, until
from tests.caller import until as eventually

ROOT = Path(__file__).parents[2]


def _started(service, directory: Path) -> tuple[Child, str]:
    """`python -m api` beside the service's own one, on the same database and Temporal."""
    settings, port = service.settings, free_port()
    env = {
        **os.environ,
        "SUPPORTLY_DATABASE_URL": settings.database_url,
        "SUPPORTLY_TEMPORAL_ADDRESS": settings.temporal_address,
        "SUPPORTLY_SANDBOX_URL": settings.sandbox_url,
    }
    log = directory / "api.log"
    api = Child("API", [sys.executable, "-m", "api", "--port", str(port)], log=log, env=env, cwd=ROOT)
    until(api, lambda: http_status(f"http://127.0.0.1:{port}/readyz") == 200, timeout=60)
    return api, f"http://127.0.0.1:{port}"


def test_on_sigterm_whoever_waits_hears_202_and_the_process_ends_well(hub, service, tmp_path):
    api, url = _started(service, tmp_path)
    contact = hub.contact(email=f"{uuid4().hex}@example.com")
    service.control("DELETE", "/faults")  # what another test left would come first
    pause = {"provider": "hubspot", "status": 429, "retry_after": 8, "times": 1}
    service.control("POST", "/faults", json=pause)
    key = {"Idempotency-Key": uuid4().hex}
    with ThreadPoolExecutor() as threads, httpx.Client(base_url=url, timeout=70) as http:
        caller = replace(hub, http=http)
        waiting = threads.submit(
            caller.call, "POST", f"/hubspot/contacts/{contact}/sync", headers={"Prefer": "wait=60", **key}
        )
        eventually(lambda: service.control("GET", "/faults")[0]["hits"] == 1, 30)
        api.ask_to_stop()
        answer = waiting.result(60)
    try:
        assert (answer.status_code, answer.json()["status"]) == (202, "running"), answer.text
        assert api.wait(30) == 0, api.log.read_text()[-2000:]
    finally:
        api.kill()
        service.control("DELETE", "/faults")
    # The work went on; the same request at another process answers it.
    path = f"/operations/{answer.json()['operation_id']}"
    ended = eventually(lambda: next((o for o in [hub.call("GET", path).json()] if o["status"] != "running"), None))
    assert ended["status"] == "succeeded", ended
    again = hub.call("POST", f"/hubspot/contacts/{contact}/sync", headers=key)
    assert again.json()["operation_id"] == answer.json()["operation_id"]
