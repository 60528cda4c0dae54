"""Content by its hash: canonical JSON, packed arrays, and blobs in the ledger that are verified when read."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from configs.errors import InputError
from data.ledger.tables import blob

WORTH_IT = 0.9
"""Compression is kept where it saves at least a tenth."""
CHUNK = 500


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values have equal bytes. Raises ValueError on NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def pack(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """One header line of JSON, then the arrays' bytes, little-endian, in the order of their names."""
    names = sorted(arrays)
    plain = {name: np.ascontiguousarray(arrays[name]) for name in names}
    plain = {name: one.astype(one.dtype.newbyteorder("<"), copy=False) for name, one in plain.items()}
    header = {"meta": dict(meta), "arrays": [[n, plain[n].dtype.str, list(plain[n].shape)] for n in names]}
    return canonical(header) + b"\n" + b"".join(plain[name].tobytes() for name in names)


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The inverse of pack; arrays are read-only views."""
    end = content.index(b"\n")
    header = json.loads(content[:end])
    arrays, start = {}, end + 1
    for name, dtype, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(content, np.dtype(dtype), count, start).reshape(shape)
        start += arrays[name].nbytes
    return header["meta"], arrays


def put(connection: Connection, contents: Iterable[bytes]) -> None:
    """Stores what is not there yet. Sorted by hash, so that two writers never wait for each other in a circle."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    by_hash = {sha256(content): content for content in contents}
    keys = sorted(by_hash)
    for start in range(0, len(keys), CHUNK):
        wanted = keys[start : start + CHUNK]
        known = set(connection.execute(select(blob.c.sha256).where(blob.c.sha256.in_(wanted))).scalars())
        rows = []
        for key in wanted:
            if key in known:
                continue
            content = by_hash[key]
            small = zlib.compress(content, 1)
            packed = len(small) < WORTH_IT * len(content)
            rows.append(
                {
                    "sha256": key,
                    "codec": "zlib" if packed else "raw",
                    "size_bytes": len(content),
                    "content": small if packed else content,
                }
            )
        if rows:
            connection.execute(insert(blob).on_conflict_do_nothing(), rows)


def get(connection: Connection, keys: Iterable[str]) -> dict[str, bytes]:
    """Contents by hash, each verified. InputError where one is absent or not what its hash says."""
    wanted = sorted(set(keys))
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        for key, codec, content in connection.execute(
            select(blob.c.sha256, blob.c.codec, blob.c.content).where(blob.c.sha256.in_(chunk))
        ):
            plain = zlib.decompress(content) if codec == "zlib" else bytes(content)
            if sha256(plain) != key:
                raise InputError(
                    f"ledger, blob {key[:12]}", "content with this hash", "other content", "Restore a backup."
                )
            found[key] = plain
    for key in wanted:
        if key not in found:
            raise InputError(f"ledger, blob {key[:12]}", "stored content", "none", "Restore a backup.")
    return found
