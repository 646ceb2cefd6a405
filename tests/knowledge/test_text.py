import sys

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


@pytest.mark.parametrize(
    "style",
    [
        "position:absolute; left:-9999px",
        "position: fixed; top: -200vh",
        "text-indent:-9999px",
        "margin-left:-10000px",
        "clip-path: inset(100%)",
        "position:absolute;clip:rect(0, 0, 0, 0)",
        "position:absolute;clip:rect(1px 1px 1px 1px)",
        "height:0;overflow:hidden",
        "position:absolute;width:1px;height:1px;overflow:hidden",
        "transform:scale(0)",
        "transform:rotate(5deg) scale(0.00)",
        "transform: translateX(-9999px)",
        "opacity:0",
        "opacity:0%",
        "opacity:.0",
        "font-size:0px",
        "font: 0/0 a",
        "color:transparent",
        "visibility:collapse",
        "content-visibility:hidden",
        "DISPLAY : None !important",
        "display:/**/none",
        "d\\69splay:none",
        "display:none!important;display:block",
    ],
)
def test_text_that_a_style_hides_is_not_read(style):
    assert text.markdown(f'<p>before</p><div style="{style}">SECRET <b>too</b></div><p>after</p>', HTML).split() == [
        "before",
        "after",
    ]


@pytest.mark.parametrize(
    "style",
    [
        "position:relative;left:-10px",
        "position:absolute;top:-5px",
        "margin-left:-15px",
        "text-indent:-2em",
        "opacity:0.05",
        "font-size:0.05em",
        "font: 400 0.9em/1 Arial",
        "font:14px/1.5 Arial",
        "color:#000",
        "display:block",
        "display:none;display:block",
        "overflow:hidden;height:20px",
        "height:0",
        "transform:scale(0.5)",
        "background:url(none.png)",
        "width:0.5em;overflow:hidden",
    ],
)
def test_text_that_a_style_shows_is_read(style):
    assert text.markdown(f"<div style='{style}'>shown</div>", HTML) == "shown"


def test_text_that_a_style_sheet_hides_is_not_read():
    body = (
        "<style>/* .shown{display:none} */ p{margin:0} .a, #b {display:none} .shown:hover{display:none}"
        "@media print{.shown{display:none} .x{color:red}} @import 'x'; .c{opacity:0}</style>"
        "<p class='a'>SECRET</p><p id='b'>SECRET</p><p class='x c'>SECRET</p><p class='shown'>shown</p>"
    )
    assert text.markdown(body, HTML) == "shown"


@pytest.mark.parametrize(
    "furniture",
    [
        "<nav><a href='/'>Home</a></nav>",
        "<div role='navigation'>Home</div>",
        "<div role='search'>Home</div>",
        "<header>Home</header>",
        "<footer>Home</footer>",
        "<div class='cookie-banner'>We use cookies</div>",
        "<div id='onetrust-consent-sdk'>We use cookies</div>",
        "<div class='article-votes'>Was this article helpful?</div>",
        "<span class='sr-only'>opens in a new window</span>",
        "<dialog>Subscribe</dialog>",
        "<video controls>no video here</video>",
        "<?php echo 'x' ?>",
        "<!-- a comment -->",
    ],
)
def test_what_belongs_to_the_page_is_not_read(furniture):
    body = f"<html><head><title>x</title></head><body>{furniture}<main><p>said</p></main></body></html>"
    assert text.markdown(body, HTML) == "said"


@pytest.mark.parametrize(
    "part",
    [
        "<header><h2>said</h2></header>",
        "<footer>said</footer>",
        "<section id='cookie-consent'>said</section>",
        "<p class='helpful feedback hidden-gem'>said</p>",
        "<details><summary>said</summary></details>",
        "<p hidden='until-found'>said</p>",
        "<p aria-hidden='false'>said</p>",
        "<dialog open>said</dialog>",
        "<article><header>said</header></article>",
    ],
)
def test_what_belongs_to_the_article_is_read(part):
    assert "said" in text.markdown(f"<p>x</p>{part}", HTML)


def test_a_table_stays_a_table():
    rows = "<tr><td>a|b</td><td><p>two</p><p>lines</p></td></tr><tr><td colspan='2'>wide</td></tr>"
    with_head = (
        f"<table><caption>Prices</caption><thead><tr><th>A</th><th>B</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    assert text.markdown(with_head, HTML) == ("Prices\n\n| A | B |\n| --- | --- |\n| a\\|b | two lines |\n| wide | |")
    assert text.markdown(f"<table>{rows}</table>", HTML).startswith("|  |  |\n| --- | --- |\n| a\\|b |")


def test_code_stays_fenced():
    body = "<h2>Do</h2><pre><code class='language-sh'># not a heading\n\n\n  ls -l\n</code></pre><p># nor this</p>"
    markdown = text.markdown(body, HTML)
    assert "```sh\n# not a heading\n\n  ls -l\n```" in markdown
    assert [c.heading for c in split.split("T", markdown)] == ["Do"]
    assert "# nor this" in markdown
    assert text.markdown("<pre>a\n```\nb</pre>", HTML) == "````\na\n```\nb\n````"


def test_lists_stay_lists():
    body = "<ol start='3'><li>three<ul><li>below</li></ul></li><li hidden>no</li><li><p>four</p></li></ol>"
    assert text.markdown(body, HTML) == "3. three\n   - below\n4. four"


@pytest.mark.parametrize(
    ("style", "seen"),
    [
        ("transform:scale(" + "0" * 500_000, ""),
        ("transform:scale(1" + "0" * 500_000, "words"),
        ("opacity:" + "0" * 500_000, ""),
        ("left:" * 100_000, "words"),
    ],
)
def test_endless_styles_are_read(style, seen):
    assert text.markdown(f"<p style='{style}'>words</p>", HTML) == seen


def test_links_and_images_keep_their_words():
    body = "<a href='https://x.example'>the <b>guide</b></a> <img src='data:image/png;base64,AAAA' alt='a button'>"
    assert text.markdown(body, HTML) == "the **guide** a button"


def test_comments_in_markdown_are_hidden_but_for_code():
    body = "a <!-- SECRET\nmore --> b\n\n```html\n<!-- code -->\n```\n\nc <!-- open"
    assert text.markdown(body, {}) == "a  b\n\n```html\n<!-- code -->\n```\n\nc &lt;!-- open"


def test_characters_that_carry_hidden_text_go():
    assert text.visible("a" + "".join(chr(0xE0100 + n) for n in range(20)) + "\ufe01\u034f\u2065b") == "ab"


@pytest.mark.parametrize("metadata", [HTML, {}])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a" * (text.LONGEST_BODY + 1), "longer than 2000000 characters"),
        ("%PDF-1.7 and so on", "binary"),
        (bytes(range(256)).decode("latin-1") * 20, "binary"),
        (bytes(range(256)).decode("utf-8", "replace") * 20, "binary"),
        ("words\x00" * 100, "binary"),
    ],
)
def test_what_cannot_be_read_has_a_reason(body, reason, metadata):
    with pytest.raises(text.Unreadable, match=reason):
        text.markdown(body, metadata)


def test_a_few_damaged_characters_are_no_reason():
    assert "words" in text.markdown("words and more words\ufffd " * 40, {})


def test_html_of_too_many_tags_has_a_reason():
    with pytest.raises(text.Unreadable, match="more than 30000 HTML tags"):
        text.markdown("<div>" * 100_000 + "deep" + "</div>" * 100_000, HTML)


@pytest.mark.parametrize(
    "around",
    [("<div>", "</div>"), ("<ul><li>", "</li></ul>"), ("<blockquote>", ""), ("<table><tr><td>", ""), ("<b>", "")],
)
@pytest.mark.parametrize("depth", [50, 500, 9000])
def test_deep_html_keeps_its_words_and_hides_what_is_hidden(around, depth):
    inside = "<p hidden>SECRET</p><p>deep</p>"
    markdown = text.markdown(around[0] * depth + inside + around[1] * depth, HTML)
    assert "deep" in markdown
    assert "SECRET" not in markdown
    # Indentation and columns don't multiply what there is.
    assert len(markdown) < 20_000


def _steps(call):
    """Lines of Python that `call` runs: the same on a fast machine and a slow one. Expressions in C are one line."""
    count = 0
    before = sys.gettrace()  # coverage's

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "part",
    [
        "<p hidden>x</p><p>y</p>",
        "<ol><li>x</li>",
        "<li>x",
        "<table><thead><tr><td>x</td></tr>",
        "<tr><td>x",
        "<b>",
        "<header>x</header>",
        "<style>.a</style>",
        "<!-- x -->",
    ],
)
def test_twice_the_html_takes_twice_the_steps(part):
    # Long enough that what is fixed doesn't count; as siblings or nested, as the part wants.
    one, two = (_steps(lambda n=n: text.markdown("<main></main><ol>" + part * n, HTML)) for n in (300, 600))
    assert two < one * 2.5


@pytest.mark.parametrize(
    "part", ["<!-- ", "```py\n<!--", "# x\n", "- x\n", "|-|\n", "a\n=\n", "```\n", "x. ", "。", "x"]
)
def test_twice_the_markdown_takes_twice_the_steps(part):
    def read(n):
        split.split("T", text.markdown(part * n, {}))

    one, two = (_steps(lambda n=n: read(n)) for n in (1500, 3000))
    assert two < one * 2.5
