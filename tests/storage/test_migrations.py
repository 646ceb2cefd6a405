"""What was stored before a migration is there after it."""

import uuid

import psycopg
import pytest
from alembic import command

from supportly.storage import migrate


@pytest.fixture
def older(postgres):
    """A database of its own at revision 0004; its plain URL, and Alembic's configuration for it."""
    name, admin = f"older_{uuid.uuid4().hex[:8]}", postgres.admin_url
    with psycopg.connect(admin.replace("+psycopg", ""), autocommit=True) as c:
        c.execute(f"create database {name}")
    url = admin.rsplit("/", 1)[0] + f"/{name}"
    configuration = migrate.config(url)
    command.upgrade(configuration, "0004")
    yield url.replace("+psycopg", ""), configuration
    with psycopg.connect(admin.replace("+psycopg", ""), autocommit=True) as c:
        c.execute(f"drop database {name} with (force)")


def test_vectors_move_into_their_own_table(older):
    url, configuration = older
    document, vector = uuid.uuid4(), "[" + ",".join(["0.0625"] * 256) + "]"
    with psycopg.connect(url, autocommit=True) as c:
        c.execute(
            "insert into documents (account_id, document_id, provider, stream, external_id, generation, title, "
            "audience, metadata, content_hash, chunk_count, seen_walk) "
            "values (7, %s, 'zendesk', 'articles', 'a', 1, 'Refunds', 'public', '{}', %s, 1, 3)",
            (document, b"h" * 16),
        )
        c.execute(
            "insert into chunks (account_id, document_id, text_hash, provider, language, position, title, heading, "
            "body, model, embedding) values (7, %s, %s, 'zendesk', 'english', 0, 'Refunds', '', 'Money comes back.', "
            "'wordllama/1', %s)",
            (document, b"t" * 16, vector),
        )
    command.upgrade(configuration, "head")
    with psycopg.connect(url, autocommit=True) as c:
        moved = c.execute(
            "select v.account_id, v.document_id, v.text_hash, m.name, m.tier, m.state, v.embedding::text, v.part "
            "from vectors v join knowledge_models m using (model_id)"
        ).fetchall()
        assert moved == [(7, document, b"t" * 16, "wordllama/1", "instant", "serving", vector, 0)]
        c.execute("set supportly.account_id = '7'")
        c.execute("insert into knowledge_languages (account_id, language) values (7, 'english')")
        found = c.execute("select document_id from knowledge_fulltext('money', null, null, 10)").fetchall()
        assert found == [(document,)]
        assert c.execute("select missed_walk from documents").fetchall() == [(None,)]
