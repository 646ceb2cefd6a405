"""Long arrays in PostgreSQL's binary form, made in one go: the driver's own way, one element at a time, is slower."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.storage.database import rows

UUID_OID: Final = 2950
UUID_ARRAY_OID: Final = 2951
"""Numbers of the types in every PostgreSQL (pg_type.dat)."""


def _array(oid: int, block: NDArray[np.void]) -> bytes:
    """PostgreSQL's array header (dimensions, no nulls, type, length, lower bound) before elements with their sizes."""
    shape = [len(block), 1] if len(block) else []
    return np.array([1 if len(block) else 0, 0, oid, *shape], ">i4").tobytes() + block.tobytes()


class Uuids:
    """Ids as a `uuid[]`."""

    def __init__(self, ids: Sequence[uuid.UUID]) -> None:
        self.ids = ids


class _UuidsDumper(Dumper):
    format = Format.BINARY
    oid = UUID_ARRAY_OID

    def dump(self, obj: Uuids) -> bytes:
        block = np.zeros(len(obj.ids), np.dtype([("length", ">i4"), ("value", "V16")]))
        block["length"] = 16
        block["value"] = np.frombuffer(b"".join([one.bytes for one in obj.ids]), "V16")
        return _array(UUID_OID, block)


class HalfVectors:
    """Rows of a matrix as a `halfvec[]`; `oid` is the type's number in this database."""

    def __init__(self, matrix: NDArray[np.float32], oid: int) -> None:
        self.matrix = matrix
        self.oid = oid


class _HalfVectorsDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: HalfVectors) -> bytes:
        count, width = obj.matrix.shape
        # Per element: its length in bytes, then pgvector's header (dimensions, unused), then big-endian halves.
        element = np.dtype([("length", ">i4"), ("width", ">u2"), ("unused", ">u2"), ("values", ">f2", (width,))])
        block = np.zeros(count, element)
        block["length"] = 4 + 2 * width
        block["width"] = width
        block["values"] = obj.matrix
        return _array(obj.oid, block)


psycopg.adapters.register_dumper(Uuids, _UuidsDumper)
psycopg.adapters.register_dumper(HalfVectors, _HalfVectorsDumper)


async def half_vectors(c: AsyncConnection, matrix: NDArray[np.float32]) -> HalfVectors:
    """Rows of a matrix as this database's `halfvec[]`; its number is asked for once a connection."""
    raw = (await c.get_raw_connection()).driver_connection
    assert raw is not None  # noqa: S101 (a checked-out connection has its driver's)
    oid: int | None = getattr(raw, "_supportly_halfvec", None)
    if oid is None:
        [(oid,)] = await rows(c, "select 'halfvec'::regtype::oid::int", {})
        raw._supportly_halfvec = oid
    return HalfVectors(matrix, int(oid or 0))
