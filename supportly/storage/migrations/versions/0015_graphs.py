"""The two graphs of a large account are walked with candidates of their own, and small ones built by two processes.

Titles need more candidates than texts where they say little: of 17,000 documents of random words the titles' graph
needs 200 where that of the texts needs 64, and a walk takes as long as it keeps candidates.

PostgreSQL builds the index of a table below `min_parallel_table_scan_size` (8 MB, some 13,000 vectors) alone, in
1.7 times the time of two processes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The next sync of each account measures both."""
    op.add_column("knowledge_indexes", sa.Column("ef_search_titles", sa.Integer))
    op.execute("alter table knowledge_indexes no force row level security")
    op.execute("update knowledge_indexes set ef_search = null")
    op.execute("alter table knowledge_indexes force row level security")
    op.execute("alter function knowledge_build(smallint, int, int) set min_parallel_table_scan_size = 0")
