"""CSV and TSV files for Arrow: header, quoted line breaks, long lines, hexadecimal numbers, pipes."""

from __future__ import annotations

import csv as standard_csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv

from damrs_dgl.data.columns import first_line
from damrs_dgl.errors import DataError

_BLOCK = 1 << 20  # bytes that Arrow parses at a time, and that are looked through at a time
_LONGEST_LINE = 1 << 28
_HEADER = 1 << 16
_NOTHING = b"\xef\xbb\xbf \t\r\n"
_WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 begins, which spreadsheets write


@dataclass(frozen=True)
class TextTable:
    """A text file with a value per column and a row per line.

    ``file`` is what errors call it; ``content`` its bytes where it came through a pipe, which can be read only once.
    ``quotes``: whether a value may stand in double quotes, with delimiters and line breaks in it.
    """

    file: Path
    delimiter: str
    quotes: bool = True
    content: bytes | None = None

    def header(self) -> list[str]:
        """The values of the first line. Raises DataError for UTF-16, an empty file and what is no such line."""
        with self._open() as stream:
            start = stream.read(_HEADER)
        if start.startswith(_WIDE_TEXT):
            raise DataError("is UTF-16 text", where=self.file, fix="save it as UTF-8")
        if not start.strip(_NOTHING):
            raise DataError("is empty", where=self.file, fix="look at what wrote it")
        text = start.decode("utf-8-sig", errors="replace")
        if not self.quotes:
            return (text.splitlines() or [""])[0].split(self.delimiter)
        try:
            return next(standard_csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter), [])
        except standard_csv.Error as error:
            raise DataError(f"no readable first line ({error})", where=self.file) from error

    def read(
        self,
        columns: list[str],
        types: Mapping[str, pa.DataType],
        *,
        names: list[str] | None = None,
        empty_lines: bool = False,
    ) -> pa.Table:
        """Columns by name, those without a type as what their values look like; an empty value is null.

        ``names`` are for a file without a header. ``empty_lines`` keeps lines without a value as rows of nulls.
        Raises ArrowInvalid for what does not parse, and DataError for a quote that is opened and never closed.
        """
        if self._unclosed_quote:
            raise DataError(
                "a quoted value is never closed or has text behind it", where=self.file, fix='write " in a value as ""'
            )
        convert = csv.ConvertOptions(
            include_columns=columns, column_types=types, null_values=[""], strings_can_be_null=True
        )
        parse = csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self.quotes else False,
            newlines_in_values=self._facts[0] > 0,  # Arrow cuts the file into blocks faster without
            ignore_empty_lines=not empty_lines,
        )
        block = _BLOCK
        while True:
            read = csv.ReadOptions(column_names=names, block_size=block)
            source = self.file if self.content is None else io.BytesIO(self.content)
            try:
                return csv.read_csv(source, read_options=read, parse_options=parse, convert_options=convert)
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or block >= _LONGEST_LINE:  # a line longer than a block
                    raise
                block *= 16

    def unreadable(self, error: Exception, kind: str) -> DataError:
        """What to do about an error of `read`; ``kind``: what the file should have been."""
        if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
            return not_utf8(self.file)
        uneven = re.search(r"Expected (\d+) columns, got \d+", str(error))
        line = self._uneven_line(int(uneven[1])) if uneven else None
        if line is None:
            return DataError(f"not a readable {kind} ({reason(error)})", where=self.file, fix="look at what wrote it")
        fix = "give each line as many values as the first, and quote those that hold the delimiter"
        return DataError(f"not a readable {kind} ({line})", where=self.file, fix=fix)

    @property
    def holds_hexadecimal(self) -> bool:
        """Whether 0x stands anywhere in it: Arrow reads 0x10 as the number 16."""
        return self._facts[1]

    @cached_property
    def _facts(self) -> tuple[int, bool]:
        """The number of quotes, and whether 0x stands in it; one look at each byte, a tenth of the reading's time."""
        quotes, hexadecimal, last = 0, False, b""
        with self._open() as stream:
            while block := stream.read(_BLOCK):
                quotes += block.count(b'"') if self.quotes else 0
                for sign in (b"x", b"X"):  # rare beside the zero, so sought first
                    if not hexadecimal and sign in block:
                        hexadecimal = b"0" + sign in last + block
                last = block[-1:]
        return quotes, hexadecimal

    @cached_property
    def _unclosed_quote(self) -> bool:
        """Arrow takes the rest of the file for one value then. An even number of quotes leaves none open."""
        if self._facts[0] % 2 == 0:
            return False
        with self._open() as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            try:
                for _ in standard_csv.reader(lines, delimiter=self.delimiter, strict=True):
                    pass
            except standard_csv.Error:
                return True
        return False

    def _uneven_line(self, columns: int) -> str | None:
        """The first line with another number of values, which Arrow with several threads cannot name."""
        with self._open() as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            if self.quotes:
                reader = standard_csv.reader(lines, delimiter=self.delimiter)
            else:
                reader = standard_csv.reader(lines, delimiter=self.delimiter, quoting=standard_csv.QUOTE_NONE)
            begin = 1
            try:
                for row in reader:
                    if row and len(row) != columns:
                        text = self.delimiter.join(row)[:100]
                        return f"line {begin:,}: Expected {columns} columns, got {len(row)}: {text}"
                    begin = reader.line_num + 1
            except standard_csv.Error:
                return None
        return None

    def _open(self) -> BinaryIO:
        return self.file.open("rb") if self.content is None else io.BytesIO(self.content)


def not_utf8(file: Path) -> DataError:
    """For a text in another encoding, such as the Latin-1 of spreadsheets."""
    return DataError("is not UTF-8 text", where=file, fix="save it as UTF-8")


def reason(error: Exception) -> str:
    """Why Arrow could not read a text, short, its own advice left out."""
    return first_line(error).removesuffix(" (try to increase block size?)")[:300]
