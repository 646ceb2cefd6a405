"""Schemathesis against the OpenAPI document: every endpoint, every check, valid and invalid requests.

First against the service's own document, then against one that says for each provider what that provider publishes of
itself (`specialised.py`). What may be taken for right is said in `schemathesis.toml`, with the reason. It runs as a
process of its own, as an outsider would run it.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from supportly.providers import PROVIDERS
from tests.attacks.conftest import WHOLE, served
from tests.attacks.specialised import specialised
from tests.caller import consent

HERE = Path(__file__).parent
SEED = 26112026
SECONDS = (300, 27)
"""Of one run; the second figure in `make test`."""
OWN, PUBLISHED = 5_000, 15_000
"""Requests in `make proofs`, where runs with other seeds follow until there are so many; `make test` has one run."""


@pytest.fixture(scope="module")
def api(service):
    """The API with short waits: what a caller waits for has tests of its own."""
    yield from served(service.settings.model_copy(update={"wait_s": 1.0}))


@pytest.fixture(scope="module")
def admin(api, register, sandbox):
    """The administrator of an account that is connected to every provider, and has a contact of the same number."""
    account_id = 3_900_000
    made = register.caller(api, account_id)
    register.known(account_id)
    contact = {"id": account_id, "account_id": account_id, "name": "Ada Lovelace", "email": "ada@example.com"}
    sandbox("POST", "/supportly/seed", json={"contacts": [contact]})
    sandbox("POST", "/demo")
    for provider in PROVIDERS:
        started = made.start(provider.id, **{field.name: field.example for field in provider.connect_fields})
        answer = made.finish(provider.id, **consent(started["authorization_url"]))
        assert answer.status_code == 200, (provider.id, answer.text)
    return made


def attack(admin, location, directory, *, seed, seconds):
    """One run of schemathesis; answers its answers by status."""
    chosen = (HERE / "schemathesis.toml").read_text()
    account = str(admin.account_id)
    for name, value in {"HOOKS": str(HERE / "schemathesis_hooks.py"), "ACCOUNT": account, "CONTACT": account}.items():
        chosen = chosen.replace(name, value)
    config, answered = directory / "schemathesis.toml", directory / "answered.json"
    config.write_text(chosen)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", config, "--no-color", "run", location),
        *("--url", admin.http.base_url, "--checks", "all", "--seed", seed, "--max-time", seconds),
        *("--generation-database", "none"),
    ]
    env = {**os.environ, "ATTACK_TOKEN": admin.token, "ATTACK_ANSWERED": str(answered)}
    done = subprocess.run(list(map(str, command)), env=env, cwd=directory, capture_output=True, text=True, check=False)
    _, _, failures = done.stdout.partition("FAILURES ===")
    assert done.returncode == 0, (failures or done.stdout)[:6000] + done.stderr[-2000:]
    found: Counter = Counter()
    for label, count in json.loads(answered.read_text()).items():
        found[label.rpartition(" ")[2]] += count
    return found


def attacked(admin, location, directory, *, requests, figure, what):
    """Runs until there were `requests`; one run in `make test`."""
    found: Counter = Counter()
    began, runs = time.monotonic(), 0
    while found.total() < requests and (WHOLE or runs == 0):
        found += attack(admin, location, directory, seed=SEED + runs, seconds=SECONDS[not WHOLE])
        runs += 1
    figure(f"{found.total()} requests by {what} in {time.monotonic() - began:.0f} s: {dict(found.most_common())}")
    assert "500" not in found
    assert found["200"] > (found.total() // 20 if WHOLE else 0), "nothing was accepted: there was nothing to see"


@pytest.mark.slow
def test_every_request_is_answered_as_the_document_says(admin, figure, tmp_path):
    location = f"{admin.http.base_url}/openapi.json"
    attacked(admin, location, tmp_path, requests=OWN, figure=figure, what="the service's document")


@pytest.mark.slow
def test_what_a_provider_publishes_as_valid_is_accepted(admin, figure, tmp_path):
    shown = [admin.call("GET", f"/{provider.id}").json() for provider in PROVIDERS]
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(specialised(admin.http.get("/openapi.json").json(), shown, admin.account_id)))
    attacked(admin, document, tmp_path, requests=PUBLISHED, figure=figure, what="the providers' own schemas")
