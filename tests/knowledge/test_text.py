import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportly.knowledge import rank, split, text

HTML = {"format": "html"}


def test_html_becomes_markdown_with_its_structure():
    body = text.markdown(
        "<h2>Returns</h2><p>Send it <b>back</b> to <a href='https://x.example/a'>us</a>.</p><ul><li>one<li>two</ul>",
        HTML,
    )
    assert body.startswith("## Returns")
    assert "Send it **back** to us." in body
    assert "- one" in body
    assert "https" not in body


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>SECRET</script>",
        "<style>SECRET</style>",
        "<!-- SECRET -->",
        "<div hidden>SECRET</div>",
        "<p style='color:red; display : none'>SECRET</p>",
        "<p style='font-size:0'>SECRET</p>",
        "<p style='opacity: 0;'>SECRET</p>",
        "<span aria-hidden='true'>SECRET</span>",
        "<div style='visibility:hidden'><p hidden>SECRET</p></div>",
        "<template><p>SECRET</p></template>",
        "<svg><title>SECRET</title></svg>",
    ],
)
def test_hidden_parts_are_not_read(hidden):
    assert text.markdown(f"<p>before</p>{hidden}<p>after</p>", HTML).split() == ["before", "after"]


def test_visible_styles_stay():
    assert text.markdown("<p style='font-size: 0.9em; opacity: 0.5'>small</p>", HTML) == "small"


def test_invisible_characters_go():
    assert text.visible("pass\u200bword\u2060 \U000e0041\u202eabc\ufeff\x00") == "password abc"
    assert text.visible("a\u00a0b\r\nc") == "a b\nc"


def test_joiners_stay_where_a_script_needs_them():
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert text.visible(persian) == persian
    assert text.visible("a\u200cb") == "ab"


def test_nested_a_thousandfold_keeps_its_words():
    assert "deep" in text.markdown("<div>" * 5000 + "deep" + "</div>" * 5000, HTML)


@given(st.text(max_size=400))
def test_any_html_can_be_read(anything):
    found = text.markdown(f"<p>{anything}</p>", HTML)
    assert "\x00" not in found
    found.encode()


@pytest.mark.parametrize(
    ("locale", "body", "expected"),
    [
        ("de-AT", "", "german"),
        ("en_US", "der die das", "english"),
        ("ja", "x", "simple"),
        (None, "Wie lange ist die Lieferzeit und was kostet das", "german"),
        (None, "How long does it take", "english"),
        (None, "配達にどのくらいかかりますか", "simple"),
        (None, "ACME-3000", "english"),
    ],
)
def test_language_of_a_document(locale, body, expected):
    assert text.language(locale, lambda: body) == expected


def test_splits_along_headings_with_their_path():
    chunks = split.split("Guide", "Intro.\n\n# A\n\nalpha\n\n## B\n\nbeta\n\n# C\n\ngamma")
    assert [(c.heading, c.body) for c in chunks] == [("", "Intro."), ("A", "alpha"), ("A › B", "beta"), ("C", "gamma")]
    assert chunks[2].text == "Guide\nA › B\nbeta"


def test_long_sections_are_cut_near_a_thousand_characters():
    chunks = split.split("T", "# S\n\n" + "A sentence of some words. " * 200)
    assert len(chunks) > 4
    assert max(len(c.body) for c in chunks) <= split.CHUNK_CHARS
    assert {c.heading for c in chunks} == {"S"}


def test_a_document_without_a_body_has_one_chunk():
    assert split.split("Only a title", "") == [split.Chunk("Only a title", "", "")]


@given(st.text(max_size=3000))
def test_any_text_can_be_split(anything):
    chunks = split.split("T", text.markdown(anything, {}))
    assert chunks
    assert all(len(c.body) <= split.CHUNK_CHARS for c in chunks)


@given(st.text(max_size=3000), st.text(max_size=100))
def test_a_snippet_is_short_and_never_fails(body, asked):
    assert len(rank.snippet(body, asked)) <= rank.SNIPPET + 4


def test_a_snippet_shows_the_place_that_was_asked_for():
    body = "Nothing here. " * 60 + "The reimbursement takes five days. " + "Nothing there. " * 60
    assert "reimbursement takes" in rank.snippet(body, "when is my reimbursement")
