"""Round trips and fills as a spreadsheet opens them: CSV with its mark, or one XLSX workbook.

The law: the cells are those of ``trades.csv`` and ``fills.csv``, unrounded. A CSV begins with the
byte-order mark, without which Excel reads ₹ as three letters; long ids keep the sign for text. In a
workbook every cell has a type of its own, so ids need no sign and stay whole.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from kitestring.domain.errors import ConfigError, StoreError
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.store.atomic_file import write_atomically
from kitestring.store.ledgers import FILL_COLUMNS, TRADE_COLUMNS, fill_line, trade_line
from kitestring.store.run_reader import Recorded

_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d+)?")
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_SHEET: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""The same content is the same file, whenever it is written."""

Table = Sequence[Sequence[str]]


def export_run(recorded: Recorded, target: Path) -> list[tuple[Path, int, str]]:
    """Write a run's tables: each file with its number of rows and what they are.

    Raises ``ConfigError`` for another ending than ``.csv`` or ``.xlsx``, ``StoreError`` where the
    file cannot be written (another program holds it open).
    """
    trades = [list(TRADE_COLUMNS)]
    fills = [list(FILL_COLUMNS)]
    for fact in recorded.facts():
        if isinstance(fact, RoundTrip):
            trades += csv.reader([trade_line(fact)])
        elif isinstance(fact, Fill):
            fills += csv.reader([fill_line(fact)])
    ending = target.suffix.lower()
    if ending == ".csv":
        beside = target.with_name(f"{target.stem}-fills{target.suffix}")
        _write(target, _csv(trades))
        _write(beside, _csv(fills))
        return [
            (target, len(trades) - 1, "round trips"),
            (beside, len(fills) - 1, "fills"),
        ]
    if ending == ".xlsx":
        _write(target, _workbook({"trades": trades, "fills": fills}))
        return [(target, len(trades) - 1, "round trips"), (target, len(fills) - 1, "fills")]
    raise ConfigError(
        f"{target} is neither a CSV file nor a workbook.", do="name it FILE.csv or FILE.xlsx"
    )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}.",
            do="close it where it is open, or write to another file with --to",
        ) from error


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(table)
    return text.getvalue().encode("utf-8-sig")


def _workbook(tables: dict[str, Table]) -> bytes:
    """A workbook with one sheet per table, as ECMA-376 part 1 asks for at the least."""
    sheets = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(tables, 1)
    )
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" '
        f'ContentType="{_TYPES}.worksheet+xml"/>'
        for number in range(1, len(tables) + 1)
    )
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/worksheet" '
        f'Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(tables) + 1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f"{overrides}</Types>",
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_SHEET}" xmlns:r="{_RELATIONS}">'
        f"<sheets>{sheets}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{links}'
        "</Relationships>",
    }
    for number, table in enumerate(tables.values(), 1):
        rows = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in table)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_SHEET}"><sheetData>{rows}</sheetData></worksheet>'
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _STAMP), _XML + content)
    return packed.getvalue()


def _cell(cell: str) -> str:
    if not cell:
        return "<c/>"
    if _NUMBER.fullmatch(cell):
        return f"<c><v>{cell}</v></c>"
    # The apostrophe is CSV's way to say text; here the type of the cell says it.
    text = escape(cell.removeprefix("'"))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
