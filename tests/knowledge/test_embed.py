import numpy as np
from wordllama import WordLlama

from supportly.knowledge.embed import titled


def test_is_what_wordllama_itself_computes(instant):
    from pathlib import Path

    import wordllama

    own = WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    texts = ["How long does a refund take?", "naïve café 日本語 😀", "x" * 90 + " y", "one"]
    assert np.abs(own.embed(texts, norm=True) - instant.embed(texts)).max() < 1e-5


def test_spaces_do_not_count(instant):
    assert np.allclose(instant.embed(["a refund"]), instant.embed([" a\n\n refund "]))


def test_no_words_no_direction(instant):
    assert not instant.embed(["", " \n"]).any()


def test_the_stored_vector_is_half_title_half_chunk(instant):
    title, text = instant.embed(["Refunds", "How long does it take?"])
    [stored] = titled(instant, ["Refunds"], ["How long does it take?"])
    assert np.allclose(stored, (title + text) / 2, atol=1e-6)
    assert np.linalg.norm(stored) < 1


def test_a_full_cache_starts_anew(instant, monkeypatch):
    before = instant.embed(["a refund takes five days"])
    monkeypatch.setattr("supportly.knowledge.embed.CACHED_WORDS", 3)
    instant.embed(["other words entirely here"])
    assert np.allclose(before, instant.embed(["a refund takes five days"]))
