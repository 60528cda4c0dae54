"""A staged table as an SQL relation: `line`, `flag`, `raw` and one text (or native) column a needed field."""

from __future__ import annotations

from data.readers.columns import Resolved
from data.readers.detect import Found
from data.readers.lines import Sifted
from data.readers.session import ident, literal
from data.readers.staging import LONGEST_LINE_BYTES, Staged

_MAX_LINE = 2 * LONGEST_LINE_BYTES


def _csv_options(delimiter: str, quote: str, header: bool) -> str:
    return (
        f"auto_detect=false, header={str(header).lower()}, delim={literal(delimiter)}, quote={literal(quote)}, "
        f"escape={literal(quote)}, strict_mode=true, max_line_size={_MAX_LINE}, compression='none', nullstr='\x02'"
    )


def json_paths(name: str) -> list[str]:
    """JSON paths under which a (dotted) name may stand: as one key, and as nested keys."""

    def quoted(part: str) -> str:
        return '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'

    paths = ["$." + quoted(name)]
    parts = name.split(".")
    # One flat key inside one object, such as attributes."gen_ai.usage.input_tokens".
    paths += [
        "$." + quoted(".".join(parts[:cut])) + "." + quoted(".".join(parts[cut:])) for cut in range(1, len(parts))
    ]
    if len(parts) > 2:
        paths.append("$." + ".".join(map(quoted, parts)))
    return paths


def table_sql(staged: Staged, found: Found, resolved: Resolved, sifted: Sifted | None, extra: tuple[str, ...]) -> str:
    """SELECT of line, flag, raw and the resolved fields (plus `extra` source columns by name, as x0, x1, ...).

    sifted: the line-by-line copy to read where the source is damaged; None reads the source itself.
    """
    wanted = [(field, at) for field, at in resolved.columns.items()]
    wanted += [(f"x{i}", found.columns.index(name)) for i, name in enumerate(extra)]
    if found.layout == "parquet":
        picked = ", ".join(f"{ident(found.columns[at])} AS {ident(field)}" for field, at in wanted)
        names = ", ".join(ident(name) for name in found.columns)
        return (
            f"SELECT file_row_number + 1 AS line, '' AS flag, {picked}, to_json(struct_pack({names}))::VARCHAR AS raw "
            f"FROM read_parquet({literal(staged.path)}, file_row_number=true)"
        )
    if found.layout == "csv":
        n = len(found.columns)
        cells = [f"c{i}" for i in range(n)]
        picked = ", ".join(f"c{at} AS {ident(field)}" for field, at in wanted)
        raw = f"concat_ws({literal(found.delimiter)}, {', '.join(cells)})"
        head = [] if sifted is None else ["line", "flag"]
        schema = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in [*head, *cells]) + "}"
        options = _csv_options(found.delimiter, '"', header=sifted is None)
        source = f"read_csv({literal(staged.path if sifted is None else sifted.path)}, columns={schema}, {options})"
        position = "row_number() OVER () + 1 AS line, '' AS flag" if sifted is None else "line::BIGINT AS line, flag"
        return f"SELECT {position}, {picked}, {raw} AS raw FROM {source}"
    position = "row_number() OVER () AS line, '' AS flag" if sifted is None else "line::BIGINT AS line, flag"
    lead = "" if sifted is None else "'line': 'VARCHAR', 'flag': 'VARCHAR', "
    options = _csv_options("\x01", "", header=False)
    source = (
        f"read_csv({literal(staged.path if sifted is None else sifted.path)}, "
        f"columns={{{lead}'raw': 'VARCHAR'}}, {options})"
    )
    flat: list[str] = []
    slots = []
    for field, at in wanted:
        paths = json_paths(found.columns[at])
        start = len(flat)
        flat += paths
        slots.append((field, start, len(paths)))
    listed = "[" + ", ".join(literal(path) for path in flat) + "]"
    picked = ", ".join(
        f"coalesce({', '.join(f'v[{start + i + 1}]' for i in range(count))}) AS {ident(field)}"
        for field, start, count in slots
    )
    return (
        f"SELECT line, flag, {picked}, raw FROM (SELECT *, CASE WHEN json_valid(raw) THEN "
        f"json_extract_string(raw, {listed}) END AS v FROM (SELECT {position}, raw FROM {source}))"
    )
