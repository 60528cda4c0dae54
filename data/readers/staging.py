"""A file made readable: hashed, decompressed, its encoding known, and looked over once for damage."""

from __future__ import annotations

import codecs
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from configs.errors import InputError

CHUNK_BYTES = 1 << 22
LONGEST_LINE_BYTES = 1 << 20
"""A longer line is damage: a request with 2,000 prefix blocks is 20 kB."""
_WINDOW = LONGEST_LINE_BYTES // 2
CONTROL_BYTES = bytes(set(range(32)) - {9, 10, 13}) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Staged:
    """One source file as plain UTF-8 text, or as Parquet.

    path: what to read (the source itself, or its decompressed copy); sha256: of the source as it lies on disk; lines:
    newline-ended lines, a last one without newline included; clean: nothing was seen that the bulk reader would
    stumble over (bytes that are not UTF-8, control characters, blank or overlong lines).
    """

    source: Path
    path: Path
    kind: Literal["text", "parquet"]
    sha256: str
    lines: int
    clean: bool
    notes: tuple[str, ...]


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(str(path), "a file", "no such file", "Check the path.") from None
    except IsADirectoryError:
        raise InputError(str(path), "a file", "a folder", "Name the files inside it, or a pattern.") from None
    except PermissionError:
        raise InputError(str(path), "a readable file", "permission denied", "Change its permissions.") from None
    except (OSError, ValueError) as error:
        raise InputError(str(path), "a readable file", str(error), "Check the path.") from None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with _open(path) as handle:
        while chunk := handle.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _gunzipped(handle: BinaryIO, damage: list[str]) -> Iterator[bytes]:
    """Decompressed chunks of every member; what cannot be decompressed ends the stream with a word in `damage`."""
    member = zlib.decompressobj(31)
    rest = b""
    while True:
        data = rest or handle.read(1 << 18)
        rest = b""
        if not data:
            if not member.eof:
                damage.append("the gzip stream breaks off")
            return
        if member.eof:
            if not data.strip(b"\x00"):
                continue
            member = zlib.decompressobj(31)
        try:
            while data:
                yield member.decompress(data, CHUNK_BYTES)
                data = member.unconsumed_tail
        except zlib.error as error:
            damage.append(f"the gzip stream is damaged ({error})")
            return
        rest = member.unused_data


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


class _Survey:
    """What one pass over the bytes of a text says about its lines."""

    def __init__(self) -> None:
        self.lines = 0
        self.clean = True
        self._last = b"\n"
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="strict")

    def add(self, chunk: bytes) -> None:
        if not chunk:
            return
        self.lines += chunk.count(b"\n")
        if self.clean:
            joined = self._last + chunk
            blank = b"\n\n" in joined or b"\n\r" in joined
            bare = joined.count(b"\r") != joined.count(b"\r\n") + joined.endswith(b"\r")
            odd = len(chunk.translate(None, CONTROL_BYTES)) != len(chunk)
            long = any(chunk.find(b"\n", at, at + _WINDOW) < 0 for at in range(0, len(chunk) - _WINDOW, _WINDOW))
            if blank or bare or odd or long:
                self.clean = False
            else:
                try:
                    self._utf8.decode(chunk)
                except UnicodeDecodeError:
                    self.clean = False
        self._last = chunk[-2:] if chunk.endswith(b"\n") else chunk[-1:]

    def end(self) -> None:
        if self._last[-1:] != b"\n":
            self.lines += 1
        if self.clean:
            try:
                self._utf8.decode(b"", final=True)
            except UnicodeDecodeError:
                self.clean = False


def stage(source: Path, scratch: Path) -> Staged:
    """Hashes, unpacks and surveys one file; copies (decompressed, UTF-8) go to `scratch`.

    Raises InputError where the file is absent, unreadable or empty. Damage inside is not an error here: it is noted,
    and the rows it hits are rejected later, one by one.
    """
    digest = _sha256(source)
    notes: list[str] = []
    damage: list[str] = []
    with _open(source) as handle:
        head = handle.read(4)
        handle.seek(0)
        if head == b"PAR1":
            return Staged(source, source, "parquet", digest, 0, True, ())
        chunks: Iterator[bytes] = iter(lambda: handle.read(CHUNK_BYTES), b"")
        copy = head[:2] == b"\x1f\x8b"
        if copy:
            chunks = _gunzipped(handle, damage)
        first = b""
        for chunk in chunks:
            first += chunk
            if len(first) >= 4:
                break
        if first[:4] == b"PAR1":
            path = scratch / f"{digest}.parquet"
            with path.open("wb") as out:
                out.write(first)
                out.writelines(chunks)
            return Staged(source, path, "parquet", digest, 0, True, tuple(damage))
        rest = _chain(first, chunks)
        if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
            rest, copy = _transcoded(rest, "utf-16"), True
            notes.append("UTF-16 text, read as such")
        elif first[:3] == codecs.BOM_UTF8:
            rest, copy = _chain(first[3:], chunks), True
        survey = _Survey()
        path = source
        if copy:
            path = scratch / f"{digest}.txt"
            with path.open("wb") as out:
                for chunk in rest:
                    survey.add(chunk)
                    out.write(chunk)
        else:
            for chunk in rest:
                survey.add(chunk)
        survey.end()
    if damage:
        notes += [f"{text}; what came before it is read" for text in damage]
    if survey.lines == 0:
        raise InputError(str(source), "rows of data", "an empty file", "Export the file again.")
    return Staged(source, path, "text", digest, survey.lines, survey.clean and not damage, tuple(notes))


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
