"""Chunks: along the document's structure, whole in words, and moved by an edit only near it."""

import hashlib
import itertools
import random
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportly.knowledge import split, text
from supportly.knowledge.split import CHUNK_CHARS


def bodies(body):
    return [c.body for c in split.split("T", body)]


def hashes(body, title="T"):
    return {split.text_hash(c, language="english", locale=None) for c in split.split(title, body)}


class Writer:
    """Made-up prose of any shape, the same for a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.words = [
            "".join(self.rng.choice("abcdefghiklmnoprstuvw") for _ in range(self.rng.randint(2, 10)))
            for _ in range(2000)
        ]

    def line(self, low, high):
        return " ".join(self.rng.choice(self.words) for _ in range(self.rng.randint(low, high)))

    def sentence(self, low=5, high=20):
        return self.line(low, high).capitalize() + "."

    def paragraph(self, low, high):
        wanted = self.rng.randint(low, high)
        said = self.sentence()
        while len(said) < wanted:
            said += " " + self.sentence()
        return said

    def chinese(self, low, high, stops=True):
        return "".join(
            chr(0x4E00 + min(int(self.rng.paretovariate(0.5)), 3000))
            + ("。" if stops and self.rng.random() < 0.04 else "")
            for _ in range(self.rng.randint(low, high))
        )


# One edit's unit, what stands between units, and what stands before and after all of them.
SHAPES = {
    "short paragraphs": (lambda w: w.paragraph(60, 250), "\n\n", "", ""),
    "paragraphs": (lambda w: w.paragraph(200, 700), "\n\n", "", ""),
    "paragraphs of one length": (lambda w: w.paragraph(500, 500)[:400], "\n\n", "", ""),
    "paragraphs of any length": (lambda w: w.paragraph(50, 1800), "\n\n", "", ""),
    "long paragraphs": (lambda w: w.paragraph(900, 2000), "\n\n", "", ""),
    "one heading": (lambda w: w.paragraph(100, 600), "\n\n", "# All of it\n\n", ""),
    "one enormous paragraph": (lambda w: w.sentence(), " ", "", ""),
    "one enormous paragraph of lines": (lambda w: w.sentence(), "\n", "", ""),
    "words without an end": (lambda w: w.line(10, 20), " ", "", ""),
    "Chinese": (lambda w: w.chinese(100, 900), "\n\n", "", ""),
    "Chinese in one paragraph": (lambda w: w.chinese(50, 200), "", "", ""),
    "Chinese without stops": (lambda w: w.chinese(50, 200, stops=False), "", "", ""),
    "a table": (lambda w: f"| {w.line(3, 6)} | {w.line(3, 9)} |", "\n", "| A | B |\n| --- | --- |\n", ""),
    "code": (lambda w: w.line(2, 9), "\n", "```py\n", "\n```"),
    "a list": (lambda w: "- " + w.line(4, 30), "\n", "", ""),
    "lines that are often alike": (
        lambda w: "Yes." if w.rng.random() < 0.5 else w.sentence(),
        "\n\n",
        "",
        "",
    ),
    "a heading each": (lambda w: f"## {w.line(2, 5)}\n\n{w.paragraph(200, 900)}", "\n\n", "", ""),
}


def edited(units, make, writer, turn):
    """A copy with one unit inserted, changed, replaced or deleted; each fifth time at the very top."""
    units = list(units)
    place = 0 if turn % 5 == 0 else writer.rng.randrange(len(units))
    match turn % 4:
        case 0:
            units.insert(place, make(writer))
        case 1:
            units[place] = make(writer)
        case 2:
            middle = len(units[place]) // 2
            units[place] = units[place][:middle] + "x" + units[place][middle:]
        case 3:
            del units[place]
    return units


@pytest.mark.parametrize("shape", SHAPES)
def test_an_edit_embeds_at_most_five_chunks(shape):
    make, between, before, after = SHAPES[shape]
    for seed in range(6):
        writer = Writer(f"{shape} {seed}")
        units, length = [], 0
        while length < 40_000:
            units.append(make(writer))
            length += len(units[-1])
        old = hashes(before + between.join(units) + after)
        assert len(old) > 20
        for turn in range(20):
            new = hashes(before + between.join(edited(units, make, writer, turn)) + after)
            assert len(new - old) <= 5


@pytest.mark.parametrize("shape", ["paragraphs", "one enormous paragraph", "Chinese without stops"])
def test_an_edit_at_the_top_of_a_thousand_chunks(shape):
    make, between, *_ = SHAPES[shape]
    writer = Writer(shape)
    units, length = [], 0
    while length < 800_000:
        units.append(make(writer))
        length += len(units[-1])
    old = hashes(between.join(units))
    assert len(old) > 1000
    for top in (make(writer), "One.", make(writer) + between + make(writer)):
        assert len(hashes(between.join([top, *units])) - old) <= 5
    assert len(hashes(between.join(units[1:])) - old) <= 5


@pytest.mark.parametrize("shape", SHAPES)
def test_no_word_is_lost_and_sizes_are_right(shape):
    make, between, before, after = SHAPES[shape]
    writer = Writer(shape)
    units = [make(writer) for _ in range(120)]
    pieces = split.split("T", before + between.join(units) + after)
    assert all(0 < len(c.body) <= CHUNK_CHARS for c in pieces)
    read = " ".join(f"{c.heading} {c.body}" for c in pieces)
    if "Chinese" not in shape:
        at = 0
        for word in " ".join(units).replace("#", "").split():
            # Each word, in its place; a chunk may repeat a hundred characters and a heading.
            found = read.find(word, max(0, at - 2 * split.OVERLAP_CHARS))
            assert 0 <= found <= at + 2 * CHUNK_CHARS
            at = found
    assert len(read) < len(" ".join(units)) * 1.35 + 200


@pytest.mark.parametrize("shape", ["one enormous paragraph", "Chinese in one paragraph", "Chinese without stops"])
def test_chunks_of_one_paragraph_join_to_what_it_was(shape):
    make, between, *_ = SHAPES[shape]
    writer = Writer(shape)
    body = between.join(make(writer) for _ in range(300))
    read = ""
    for piece in bodies(body):
        repeated = max(k for k in range(split.OVERLAP_CHARS + 1) if read.endswith(piece[:k]))
        read += piece[repeated:]
    assert "".join(read.split()) == "".join(body.split())


@given(st.text(alphabet=st.sampled_from("ab.#-|`~>= \n。漢0"), max_size=4000))
def test_every_letter_of_any_markdown_is_kept(body):
    pieces = split.split("T", body)
    assert all(len(c.body) <= CHUNK_CHARS for c in pieces)
    found = "".join(c.heading + c.body for c in pieces)
    # Marks are structure and may go or be repeated; what people read stays.
    assert all(found.count(letter) >= body.count(letter) for letter in "ab。漢0.")


@given(
    st.lists(st.text(alphabet="abcdef", min_size=1, max_size=1500), max_size=40), st.sampled_from(["\n\n", " ", "\n"])
)
def test_every_word_is_kept(words, between):
    body = between.join(words)
    kept = "".join("".join(bodies(body)).split())
    assert all(word in kept for word in words if len(word) <= 100)
    assert len(kept) >= sum(map(len, words))


def test_chunks_are_the_same_in_every_process():
    program = (
        "import hashlib; from supportly.knowledge import split;"
        "body = ' '.join(f'Sentence {n} is here.' for n in range(3000));"
        "print(hashlib.sha256(repr(split.split('T', body)).encode()).hexdigest())"
    )
    body = " ".join(f"Sentence {n} is here." for n in range(3000))
    here = hashlib.sha256(repr(split.split("T", body)).encode()).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here


def test_prose_makes_chunks_of_600_to_1000_characters():
    for shape in ("short paragraphs", "paragraphs", "one enormous paragraph", "Chinese", "a table", "a list", "code"):
        make, between, before, after = SHAPES[shape]
        writer = Writer(shape)
        sizes = list(map(len, bodies(before + between.join(make(writer) for _ in range(400)) + after)))
        assert 600 <= sum(sizes) / len(sizes) <= 1000


def test_renaming_a_heading_changes_its_section_alone():
    writer = Writer(1)
    parts = [f"## Part {n}\n\n{writer.paragraph(300, 900)}" for n in range(40)]
    before = "\n\n".join(parts)
    after = before.replace("## Part 7\n", "## Another name\n")
    changed = [c for c in split.split("T", after) if c not in split.split("T", before)]
    assert changed
    assert {c.heading for c in changed} == {"Another name"}


def test_sections_with_equal_headings_stay_apart():
    chunks = split.split("T", "# A\n\n## Note\n\none\n\n# B\n\n## Note\n\ntwo\n\n## Note\n\nthree")
    assert [(c.heading, c.body) for c in chunks] == [("A › Note", "one"), ("B › Note", "two"), ("B › Note", "three")]


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_a_heading_in_a_fence_is_none(fence):
    chunks = split.split("T", f"# A\n\n{fence}sh\n# a comment\n\n## another\n{fence}\n\nafter\n\n# B\n\nend")
    assert [c.heading for c in chunks] == ["A", "B"]
    assert f"{fence}sh\n# a comment\n\n## another\n{fence}\n\nafter" == chunks[0].body


def test_a_shorter_fence_does_not_close_a_longer_one():
    assert [c.heading for c in split.split("T", "````\n```\n# no\n```\n````\n\n# Yes\n\nx")] == ["", "Yes"]


def test_headings_of_all_kinds():
    body = "Top\n===\n\nintro\n\nUnder\n-----\n\nbelow\n\n### Third ###\n\nx\n\n#hashtag\n\n"
    body += "a rule\nafter two lines\n---\n\ny"
    chunks = split.split("T", body)
    assert [c.heading for c in chunks] == ["Top", "Top › Under", "Top › Under › Third"]
    assert "#hashtag" in chunks[2].body
    assert "after two lines" in chunks[2].body


def test_a_table_header_is_no_heading():
    chunks = split.split("T", "A | B\n--|--\n1 | 2\n\nx\n\nName\n|\n---\n")
    assert {c.heading for c in chunks} == {""}


def test_a_heading_without_a_text_is_found():
    chunks = split.split("T", "# Empty\n\n# Parent\n\n## Child\n\nx\n\n# Last")
    assert [(c.heading, c.body) for c in chunks] == [("Empty", ""), ("Parent › Child", "x"), ("Last", "")]


def test_long_headings_keep_all_their_words():
    words = [f"word{n}" for n in range(60)]
    chunks = split.split(
        "T", "# " + " ".join(words) + "\n\n" + "".join(f"{'#' * n} {'x' * 140}{n}\n\n" for n in range(2, 7))
    )
    assert all(len(c.heading) <= 300 for c in chunks)
    said = "\n".join(c.text for c in chunks)
    assert all(word in said for word in words)
    assert all(f"{'x' * 140}{n}" in said for n in range(2, 7))


def test_a_table_that_fits_stays_whole():
    table = "| A | B |\n| --- | --- |\n" + "\n".join(f"| a{n} | b{n} |" for n in range(40))
    assert table in bodies("word " * 150 + "\n\n" + table + "\n\n" + "word " * 150)


def test_a_long_table_repeats_its_header_row():
    rows = [f"| name {n} | value {n} is {'x' * (n % 50)} |" for n in range(200)]
    head = "| Name | Value |\n| :--- | ---: |"
    pieces = bodies("Before it:\n" + head + "\n" + "\n".join(rows))
    tables = [p for p in pieces if "| name" in p]
    assert len(tables) > 5
    assert all(piece[piece.index("| Name") :].startswith(head + "\n| name") for piece in tables)
    assert [line for p in tables for line in p.split("\n") if line.startswith("| name")] == rows


def test_a_row_that_is_too_long_is_cut():
    pieces = bodies("| A |\n| - |\n| short |\n| " + "word " * 500 + "|")
    assert all(piece.startswith("| A |\n| - |") for piece in pieces)
    assert sum(piece.count("word") for piece in pieces) == 500


def test_long_code_is_cut_between_lines_and_fenced_again():
    lines = [f"    call_{n}(argument={n * 7})" for n in range(200)]
    pieces = bodies("```python\n" + "\n".join(lines) + "\n```")
    assert len(pieces) > 4
    assert all(piece.startswith("```python\n") and piece.endswith("\n```") for piece in pieces)
    assert [line for p in pieces for line in p.split("\n")[1:-1]] == lines


def test_code_that_fits_stays_whole():
    code = "```\n" + "\n\n".join(f"line {n}" for n in range(60)) + "\n```"
    assert code in bodies("word " * 190 + "\n\n" + code + "\n\n" + "word " * 190)


def test_a_list_that_fits_stays_whole():
    tight = "\n".join(f"- item {n} of this list" for n in range(30))
    loose = "\n\n".join(f"{n}. step {n} of these\n\n   and more" for n in range(20))
    pieces = bodies("\n\n".join(["word " * 150, tight, "word " * 150, loose, "word " * 150]))
    assert any(tight in piece for piece in pieces)
    assert any(loose in piece for piece in pieces)


def test_a_long_list_is_cut_between_its_items():
    items = [f"- item {n}\n  - below {n} with {'words ' * (n % 9)}".rstrip() for n in range(120)]
    pieces = bodies("\n".join(items))
    assert len(pieces) > 3
    assert all(re.match(r"- item \d+\n", piece) for piece in pieces)


def test_a_cut_through_a_paragraph_repeats_its_last_words():
    sentences = [f"Sentence number {n} says something." for n in range(100)]
    pieces = bodies(" ".join(sentences))
    for before, after in itertools.pairwise(pieces):
        first = re.match(r"Sentence number \d+ says something\.", after)
        assert first
        assert before.endswith(first[0])


def test_no_cut_between_paragraphs_repeats_anything():
    paragraphs = [f"Paragraph {n} " + "word " * 80 + "end." for n in range(30)]
    assert "".join("".join(bodies("\n\n".join(paragraphs))).split()) == "".join("".join(paragraphs).split())


def test_neither_title_nor_text_has_a_reason():
    with pytest.raises(text.Unreadable, match="neither a title nor text"):
        split.split("", "")
    assert split.split("", "words") == [split.Chunk("", "", "words")]
    assert split.split("Title", " \n\n ") == [split.Chunk("Title", "", "")]


def test_no_chunk_is_empty():
    assert bodies("a" + " " * 5000 + "b") == ["a", "b"]


def test_endless_sections_have_a_reason():
    with pytest.raises(text.Unreadable, match="more than 20000 pieces"):
        split.split("T", "".join(f"# {n}\nx\n" for n in range(30_000)))


@pytest.mark.parametrize(
    "body", ["a" * 50_000, "。" * 50_000, "# " * 20_000, "|" * 50_000, "`" * 50_000, "- " * 20_000]
)
def test_text_without_a_place_to_cut(body):
    assert all(len(piece) <= CHUNK_CHARS for piece in bodies(body))
    assert sum(map(len, bodies(body))) >= len(body) * 0.4
