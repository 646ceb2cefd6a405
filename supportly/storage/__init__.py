"""PostgreSQL: tables, repositories, migrations. Queries live here and nowhere else."""
