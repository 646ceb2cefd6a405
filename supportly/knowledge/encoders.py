"""The refined tier: sentence encoders, which are slower than the instant tier and find what is said in other words.

`encoder` chooses one by the settings: all-MiniLM-L6-v2 in this process, or any endpoint that speaks OpenAI's protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import numpy as np
import orjson

from supportly.errors import ProviderFailure, Throttled, Unavailable
from supportly.http import DEFAULT_RETRY_AFTER, Answer, Outbound, code_word, retry_after
from supportly.knowledge import weights
from supportly.knowledge.embed import Matrix, halved
from supportly.knowledge.weights import WeightsError
from supportly.settings import Settings

LONGEST_TEXT: Final = 8_000
"""Characters of a text that are read: chunks have about 1,000, and OpenAI's models refuse more than 8,191 tokens."""
GROUP_CHARACTERS: Final = 500
"""Characters that go through the local model at once, padding included. Titles of 40 characters take 4.5 ms each, alone
8.8; from 120 characters on nothing is gained, and the memory that a group of chunks takes stays with the process."""
REQUEST_TEXTS: Final = 32
"""Texts in one request: the most that Hugging Face's text-embeddings-inference takes by default; OpenAI takes 2,048."""
REQUEST_TIMEOUT_S: Final = 30.0
"""Seconds for one request: a model on a small machine of one's own needs a second a chunk."""
AWAY_S: Final = 30.0
"""Seconds after which to ask again while the endpoint is away: nobody waits, the instant tier answers meanwhile."""


class Encoder(Protocol):
    """Makes the refined tier's vectors. `model` names it with its version and stands with every vector that it made."""

    model: str
    dimensions: int

    async def encode(self, texts: Sequence[str]) -> Matrix:
        """One unit vector a text, as rows; a blank text is all zeros. What exceeds the model's limit is left out.

        Raises Unavailable and Throttled where trying again later helps, else ProviderFailure.
        """


def encoder(settings: Settings, outbound: Outbound) -> tuple[Encoder | None, str]:
    """The encoder that the settings choose; or None and the reason, one sentence for a person.

    Blocks for about two seconds while a model is loaded (or for as long as its download takes): call it in a thread.
    """
    chosen = settings.refined_model
    if chosen == "off":
        return None, "The refined tier is switched off (SUPPORTLY_REFINED_MODEL=off)."
    try:
        if chosen == "minilm":
            files = weights.find(settings.refined_model_path)
            return FastEmbedEncoder(files, threads=settings.refined_threads), ""
        return OpenAIEncoder(
            outbound,
            url=settings.refined_api_url,
            name=chosen.partition(":")[2],
            key=settings.refined_api_key.get_secret_value(),
            dimensions=settings.refined_dimensions,
        ), ""
    except WeightsError as error:
        return None, f"The refined tier is off: {error}"
    except OSError as error:
        return None, f"The refined tier is off: {error.filename} can't be read ({error.strerror})."


async def encode_titled(encoder: Encoder, titles: Sequence[str], texts: Sequence[str]) -> Matrix:
    """The stored vector of each chunk, as `embed.titled` makes it: half title, half chunk, not normalised again."""
    return halved(titles, await encoder.encode([*dict.fromkeys(titles), *texts]))


def _prepared(texts: Sequence[str]) -> dict[int, str]:
    """The texts that are worth sending, by their row: none that is blank, none too long, none that UTF-8 can't hold."""
    cut = (text.strip()[:LONGEST_TEXT] for text in texts)
    return {row: text.encode("utf-8", "replace").decode() for row, text in enumerate(cut) if text}


class FastEmbedEncoder:
    """all-MiniLM-L6-v2 through fastembed and ONNX Runtime, in this process. It reads 256 tokens of a text.

    One group of texts is worked on at a time, and whoever asks comes into line between two of them: a query waits for a
    chunk or two of a sync that runs beside it, and all that are asked at once take no more than `threads` cores.
    """

    dimensions = 384

    def __init__(self, files: Mapping[str, Path], *, threads: int = 1) -> None:
        """Load the model. Raises WeightsError when a file is not what it should be."""
        text_embedding = weights.fastembed()
        self.model = f"all-MiniLM-L6-v2/1-{weights.fingerprint(files)}"
        which = f"{files[weights.WEIGHTS]}, with {weights.TOKENIZER} and {weights.TOKENIZER_CONFIG} beside it,"
        with weights.assembled(files) as directory:
            try:
                self._loaded = text_embedding(
                    weights.MODEL, str(directory), threads, specific_model_path=str(directory), cuda=False
                )
                tried = self._vectors(["Is this the model that it should be?"])
            except Exception as error:  # noqa: BLE001 - ONNX Runtime and tokenizers raise classes of their own, or bare ones
                raise WeightsError(f"{which} can't be loaded ({type(error).__name__}): replace the files.") from None
        if tried.shape != (1, self.dimensions) or not np.isfinite(tried).all():
            raise WeightsError(f"{which} is not all-MiniLM-L6-v2 (an answer has the shape {tried.shape}): replace it.")
        self._line = ThreadPoolExecutor(1, "encoder")

    async def encode(self, texts: Sequence[str]) -> Matrix:
        """See `Encoder.encode`. Cancelling it ends the work after the group that is under way."""
        loop = asyncio.get_running_loop()
        prepared = _prepared(texts)
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for rows in _groups(prepared):
            out[rows] = await loop.run_in_executor(self._line, self._vectors, [prepared[row] for row in rows])
        return out

    def embed(self, texts: Sequence[str]) -> Matrix:
        """The same for programs without an event loop: see `embed.Embedder.embed`."""
        prepared = _prepared(texts)
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for rows in _groups(prepared):
            out[rows] = self._line.submit(self._vectors, [prepared[row] for row in rows]).result()
        return out

    def _vectors(self, texts: list[str]) -> Matrix:
        return np.stack(list(self._loaded.embed(texts, batch_size=len(texts)))).astype(np.float32, copy=False)


def _groups(prepared: Mapping[int, str]) -> Iterator[list[int]]:
    """Rows that go through the model together: of like length, since the longest one's length is what each costs."""
    group: list[int] = []
    for row in sorted(prepared, key=lambda row: len(prepared[row])):
        if group and len(prepared[row]) * (len(group) + 1) > GROUP_CHARACTERS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


class OpenAIEncoder:
    """Any endpoint that speaks OpenAI's `POST {url}/embeddings`. Redirects are not followed.

    Raises Unavailable while it is away, Throttled when it wants a pause, and ProviderFailure (`embeddings_refused`,
    `embeddings_error`) when a setting is wrong or its answer is of no use. No error quotes the key or a text.
    """

    def __init__(self, outbound: Outbound, *, url: str, name: str, key: str, dimensions: int) -> None:
        """`url` ends before `/embeddings`. Raises WeightsError when it is no address, or its key is missing."""
        self._outbound = outbound
        self._url = url.rstrip("/") + "/embeddings"
        self._name = name
        self._key = key.strip()
        self.dimensions = dimensions
        self.model = f"openai:{name}/{dimensions}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        except ValueError:
            usable = False
        if not usable:
            raise WeightsError("SUPPORTLY_REFINED_API_URL is no address such as https://api.openai.com/v1: mend it.")
        if not self._key and parts.hostname == "api.openai.com":
            raise WeightsError(
                "SUPPORTLY_REFINED_API_KEY is missing: set it, or name another SUPPORTLY_REFINED_API_URL."
            )
        if not (self._key.isascii() and self._key.isprintable()):
            raise WeightsError("SUPPORTLY_REFINED_API_KEY holds what no HTTP header can: set it anew.")

    async def encode(self, texts: Sequence[str]) -> Matrix:
        """See `Encoder.encode`."""
        prepared = _prepared(texts)
        rows = list(prepared)
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(rows), REQUEST_TEXTS):
            some = rows[start : start + REQUEST_TEXTS]
            out[some] = await self._ask([prepared[row] for row in some])
        return out

    async def _ask(self, texts: list[str]) -> Matrix:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        content = orjson.dumps({"model": self._name, "input": texts})
        try:
            answer = await self._outbound.send(
                "POST", self._url, headers=headers, content=content, timeout_s=REQUEST_TIMEOUT_S, peer="encoder"
            )
        except ProviderFailure as error:
            if error.retryable:
                raise Unavailable("The embedding endpoint cannot be reached.", retry_after=AWAY_S) from None
            raise _failure("The embedding endpoint's answer is too large, or its address is wrong.") from None
        self._check(answer)
        return self._read(answer, len(texts))

    def _check(self, answer: Answer) -> None:
        """Raise what an error answer means."""
        status, code = answer.status, self._code(answer)
        if status == 429 and code != "insufficient_quota":
            pause = retry_after(answer.headers)
            raise Throttled(
                "The embedding endpoint asks for a pause.", retry_after=DEFAULT_RETRY_AFTER if pause is None else pause
            )
        if status >= 500 or status == 408:
            pause = retry_after(answer.headers)
            raise Unavailable(
                f"The embedding endpoint answers with status {status}.", retry_after=AWAY_S if pause is None else pause
            )
        if status == 200:
            return
        said = {
            401: "The embedding endpoint refuses the key: check SUPPORTLY_REFINED_API_KEY.",
            403: "The embedding endpoint refuses the key: check SUPPORTLY_REFINED_API_KEY.",
            404: "The embedding endpoint does not know the model, or its address is wrong: check "
            "SUPPORTLY_REFINED_MODEL and SUPPORTLY_REFINED_API_URL.",
            429: "The account at the embedding endpoint has no quota left: somebody has to add some.",
        }.get(status, f"The embedding endpoint answers with status {status}.")
        raise _failure(said, status, code, refused=True)

    def _code(self, answer: Answer) -> str:
        """The error's code word, as `invalid_api_key`. Messages are left out: they may quote a text or the key."""
        found = _object(answer).get("error")
        code = code_word(found.get("code") or found.get("type")) if isinstance(found, dict) else ""
        return "" if self._key and self._key in code else code

    def _read(self, answer: Answer, count: int) -> Matrix:
        """The vectors of an answer in the order of the texts, as unit rows. Raises ProviderFailure."""
        data = _object(answer).get("data")
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
            raise _failure("The embedding endpoint answered with something that holds no vectors.", answer.status)
        if len(data) != count:
            raise _failure(f"The embedding endpoint answered {len(data)} vectors to {count} texts.", answer.status)
        places = [one.get("index", place) for place, one in enumerate(data)]
        if {place for place in places if type(place) is int} != set(range(count)):
            raise _failure("The embedding endpoint does not say which vector belongs to which text.", answer.status)
        vectors = [_vector(one.get("embedding"), answer.status) for one in data]
        for vector in vectors:
            if len(vector) != self.dimensions:
                raise _failure(
                    f"The embedding endpoint answers with {len(vector)} dimensions and SUPPORTLY_REFINED_DIMENSIONS is "
                    f"{self.dimensions}: set it to {len(vector)}.",
                    answer.status,
                )
        found = np.empty((count, self.dimensions), np.float64)
        found[places] = vectors
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise _failure("The embedding endpoint answered a vector that has no direction.", answer.status)
        unit: Matrix = (found / lengths).astype(np.float32)
        return unit


def _vector(found: Any, status: int) -> list[float]:
    if not isinstance(found, list) or not all(type(value) in (int, float) for value in found):
        raise _failure("The embedding endpoint answered a vector that does not consist of numbers.", status)
    return found


def _object(answer: Answer) -> Mapping[str, Any]:
    """The body as an object; empty when it is none."""
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _failure(message: str, status: int | None = None, code: str = "", *, refused: bool = False) -> ProviderFailure:
    word = "embeddings_refused" if refused else "embeddings_error"
    return ProviderFailure(message, provider_status=status, provider_code=code, code=word)
