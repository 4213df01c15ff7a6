"""Valid files made a little wrong: bits turned, bytes cut, lines lost or doubled, odd encodings, extreme values."""

from __future__ import annotations

from hypothesis import strategies as st

EXTREMES = (
    b"", b" ", b"-1", b"0x10", b"1e999", b"nan", b"inf", b"-0", b"007", b"9" * 30, b"9" * 5000, b"18446744073709551616",
    b"true", b"null", b"2024-01-01", b"9999-99-99", b'"', b'""', b"'", b"\0", b"\xff\xfe", b"\xc3\x28", b"\r", b"\n\n",
    b"\t", b",", b"{", b"[" * 500, b"}", b"a.b.c", b"${HOME}", b"../..", b"\xe2\x80\xae", b"x" * 70_000,
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037")


@st.composite
def spoiled(draw: st.DrawFn, good: bytes, *, text: bool) -> bytes:
    """`good` after one to four changes; `text`: also changes of whole lines, of values and of the encoding."""
    data = good
    kinds = ["flip", "cut", "drop", "insert", "repeat"] + (
        ["lose line", "double line", "value", "encode"] if text else []
    )
    for _ in range(draw(st.integers(1, 4))):
        data = _changed(draw, data, draw(st.sampled_from(kinds)))
    return data


def _changed(draw: st.DrawFn, data: bytes, kind: str) -> bytes:
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    end = place + draw(st.integers(1, 40))
    if kind == "flip" and data:
        return data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
    if kind == "cut":
        return data[:place]
    if kind == "drop":
        return data[:place] + data[end:]
    if kind == "insert":
        return data[:place] + draw(st.sampled_from(EXTREMES)) + data[place:]
    if kind == "repeat":
        return data[:end] + data[place:]
    return _of_lines(draw, data, kind)


def _of_lines(draw: st.DrawFn, data: bytes, kind: str) -> bytes:
    if kind == "encode":
        return data.decode("utf-8", "replace").encode(draw(st.sampled_from(ENCODINGS)), "replace")
    lines = data.split(b"\n")
    place = draw(st.integers(0, len(lines) - 1))
    if kind == "lose line":
        return b"\n".join(lines[:place] + lines[place + 1 :])
    if kind == "double line":
        return b"\n".join([*lines[: place + 1], *lines[place:]])
    sign = next((sign for sign in (b"\t", b",", b" ") if sign in lines[place]), b",")
    values = lines[place].split(sign)
    values[draw(st.integers(0, len(values) - 1))] = draw(st.sampled_from(EXTREMES))
    return b"\n".join([*lines[:place], sign.join(values), *lines[place + 1 :]])
