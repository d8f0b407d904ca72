"""Own files of questions and answers, or of running text: checked row by row, and made tables of.

The files are read as streams, several times if need be: what is kept of a row is a digest of 16
bytes. The same pass checks them before anything starts, and writes the tables in the data job.

Tables (`Split` has their names) have `row`, `question`, `answer`, and where the row comes from:
`source_row`, its number in its file from 0, and `chunk`, 0 but for running text, which is cut into
chunks; `last` is false in all chunks of a text but the last. A row without a question is running
text. The forget and held-out tables also have the fields of `PERTURBED`, missing where the files
have none.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geffect import files
from geffect.data.reading import records
from geffect.data.splits import BACKGROUND, REFUSALS, Sizes, Split, splits_of
from geffect.data.tofu import SPLITS
from geffect.errors import ConfigError, DataError
from geffect.models.snapshots import snapshot
from geffect.names import FULL

PERTURBED = ("paraphrased_question", "paraphrased_answer", "perturbed_answer")
COLUMNS = ("question", "answer", *PERTURBED)
WRITTEN_AT_ONCE, LONGEST_AT_ONCE = 8192, 2**20
"""Rows, and characters of them, that are written to a table at once."""
ROLES = ("forget", "retain", "held_out", "holdout")
_WORD = re.compile(r"\s*\S+")
_SEEN_BY_ROUGE = re.compile("[a-z0-9]", re.IGNORECASE)

_FINE_TUNED_ON = (".forget", ".retain", ".held_out")

Write = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Source:
    """One entry of a configuration that names rows.

    Attributes:
        key: of the configuration.
        file: a path, or with `repository` that of a file in a data set of the hub.
        columns: field -> the column that holds it, for those that have another name; None for a
            question that there is none of.
        lists, where: the lists within the file's records that hold the rows, and the values that
            some columns of them have.
        repository, revision: of a data set of the hub.
        rows: how many rows it gives, chunks of texts included (of the hub; checked after the
            download).
    """

    key: str
    file: str
    columns: Mapping[str, str | None] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    repository: str | None = None
    revision: str | None = None
    rows: int | None = None

    @classmethod
    def of(cls, key: str, entry: str | Mapping, columns: Mapping[str, str | None]) -> "Source":
        """From an entry of the configuration; `columns` are those of all files."""
        given: dict[str, Any] = {"file": entry} if isinstance(entry, str) else dict(entry)
        lists = given.pop("lists", ())
        lists = (lists,) if isinstance(lists, str) else tuple(lists)
        return cls(key, columns={**columns, **given.pop("columns", {})}, lists=lists, **given)

    @property
    def here(self) -> bool:
        """Whether it is a file of this machine."""
        return self.repository is None

    def path(self) -> Path:
        """The file, downloaded from the hub if it lies there.

        Raises:
            HubError: the hub cannot be reached, or has no such repository, revision or file.
        """
        if self.repository is None:
            return Path(self.file)
        assert self.revision is not None
        otherwise = f"check {self.key}, or copy the file here and name its path"
        return (
            snapshot(self.repository, self.revision, [self.file], otherwise, "dataset") / self.file
        )

    def content(self) -> dict[str, Any]:
        """What its rows depend on, whatever the file is called."""
        by_hash = {"sha256": files.sha256(self.file)} if self.here else {"file": self.file}
        pinned = {"repository": self.repository, "revision": self.revision, "rows": self.rows}
        read = {"columns": dict(self.columns), "lists": list(self.lists), "where": dict(self.where)}
        return {
            **by_hash,
            **read,
            **({} if self.here else pinned),
            "suffix": Path(self.file).suffix,
        }


def sources(data: Mapping[str, Any], splits: Sequence[str]) -> dict[str, dict[str, Source]]:
    """Split -> role -> its entry; background set -> "" -> its entry."""
    tables = data["tables"]
    found: dict[str, dict[str, Source]] = {}
    for name in splits:
        given = {role: tables["splits"][name].get(role) for role in ROLES}
        found[name] = {
            role: Source.of(f"data.tables.splits.{name}.{role}", entry, tables["columns"])
            for role, entry in given.items()
            if entry is not None
        }
    for name in BACKGROUND:
        if tables[name] is not None:
            source = Source.of(f"data.tables.{name}", tables[name], tables["columns"])
            found[name] = {"": source}
    return found


def contents(data: Mapping[str, Any], splits: Sequence[str]) -> dict[str, Any]:
    """What the tables of own files depend on: not where the files lie, but what is in them."""
    return {
        name: {role: source.content() for role, source in roles.items()}
        for name, roles in sources(data, splits).items()
    }


# --- One file.


@dataclass(frozen=True)
class Text:
    """A row of a file as it was read; `where` names it in errors."""

    where: str
    source_row: int
    fields: dict[str, Any]

    @property
    def question(self) -> str:
        """Empty for running text."""
        return self.fields["question"]

    @property
    def answer(self) -> str:
        """The answer, or all of a running text."""
        return self.fields["answer"]

    def digest(self) -> bytes:
        """Of question and answer."""
        both = f"{self.question}\0{self.answer}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(both, digest_size=16).digest()

    def rows(self, words: int) -> Iterator[dict[str, Any]]:
        """Its rows in tables: one, or one for each chunk of a running text."""
        pieces = [self.answer] if self.question else chunks(self.answer, words)
        for chunk, piece in enumerate(pieces):
            place = {"source_row": self.source_row, "chunk": chunk}
            last = chunk == len(pieces) - 1
            yield {**self.fields, "answer": piece, **place, "last": last}


def chunks(text: str, words: int) -> list[str]:
    """A text cut before every `words`-th word; the parts add up to the text."""
    starts = [match.start() for match in _WORD.finditer(text)][::words] or [0]
    ends = [*starts[1:], len(text)]
    return [text[start:end] for start, end in zip([0, *starts[1:]], ends, strict=True)]


def texts(source: Source, path: Path | None = None) -> Iterator[Text]:
    """The checked rows of a file.

    Raises:
        DataError: naming the file and its line or row: it cannot be read, a column is missing, a
            text is empty or none, or perturbed answers are no list.
    """
    path = source.path() if path is None else path
    number = -1
    for record in records(path, source.lists):
        where, values = f"{path}, {record.where}", record.values
        if source.where and not _chosen(where, values, source):
            continue
        number += 1
        if number == 0:
            _check_columns(where, values, source)
        yield Text(where, number, _fields(where, values, source))
    if number < 0:
        wanted = ", ".join(f"{name} = {value!r}" for name, value in source.where.items())
        raise DataError(f"{path}: no row has {wanted} ({source.key}.where); change it")


def _chosen(where: str, values: Mapping[str, Any], source: Source) -> bool:
    for name in source.where:
        if name not in values:
            raise DataError(
                f"{where}: no column {name!r} ({source.key}.where)"
                f"{DataError.suggestion(name, values)}"
            )
    return all(str(values[name]) == str(value) for name, value in source.where.items())


def _check_columns(where: str, values: Mapping[str, Any], source: Source) -> None:
    if "question" in values or "question" in source.columns:
        return
    used = {source.columns.get(name, name) for name in COLUMNS} | set(source.where)
    others = [name for name, value in values.items() if name not in used and isinstance(value, str)]
    if others:
        raise DataError(
            f"{where}: no column 'question'; is it {others[0]!r}? Write data.tables.columns: "
            f"{{question: {others[0]}}}, or {{question: null}} if all is running text"
        )


def _fields(where: str, values: Mapping[str, Any], source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in COLUMNS:
        column = source.columns.get(name, name)
        if column is None or (column not in values and name not in source.columns):
            value = None
        elif column not in values:
            raise DataError(
                f"{where}: no column {column!r}, which {source.key}, columns, names for {name}"
                f"{DataError.suggestion(column, values)}"
            )
        else:
            value = values[column]
        if name == "answer" and column not in values:
            raise DataError(
                f"{where}: no column {column!r}; name the one that holds answers, or texts, in "
                f"data.tables.columns: {{answer: ...}}{DataError.suggestion(column, values)}"
            )
        found[name] = _perturbed(where, value) if name == "perturbed_answer" else value
        if name != "perturbed_answer" and value is not None and not isinstance(value, str):
            kind = type(value).__name__
            raise DataError(f"{where}: {name} is not text but {kind}; write text")
    if found["answer"] is None or not found["answer"].strip():
        what = "null" if found["answer"] is None else "empty"
        raise DataError(f"{where}: the answer is {what}; fill it in, or leave the row out")
    for name in ("question", *PERTURBED[:2]):
        if found[name] is not None and not found[name].strip():
            found[name] = None
    found["question"] = found["question"] or ""
    return found


def _perturbed(where: str, value: Any) -> list[str] | None:
    if isinstance(value, str) and value.strip():  # a cell of a CSV file
        with suppress(ValueError):
            value = json.loads(value)
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise DataError(
            f"{where}: perturbed_answer is not a list of texts; write one (in CSV as JSON: "
            '["wrong", "wrong too"])'
        )
    return value


# --- All files.


class Evaluated:
    """What is known of a data set that is evaluated: which metrics its rows allow.

    Args:
        name: of the data set, for readers.
        fields: those of `PERTURBED` that its metrics look at.
    """

    def __init__(self, name: str, fields: Sequence[str]):
        self.name, self.fields = name, fields
        self.questions = self.running = self.wordless = 0
        self.there: dict[str, bool] = {}

    def see(self, text: Text) -> None:
        """Takes in a row.

        Raises:
            DataError: it lacks a field that other rows have, or the other way round.
        """
        if not text.question:
            self.running += 1
            return
        self.questions += 1
        self.wordless += not _SEEN_BY_ROUGE.search(text.answer)
        for name in self.fields:
            has = text.fields[name] is not None
            if self.there.setdefault(name, has) != has:
                raise DataError(
                    f"{text.where}: {'a' if has else 'no'} {name}, unlike the rows before; give "
                    "it to all rows, or to none"
                )

    def lacking(self, name: str) -> str | None:
        """Why there is no such field; None if all rows have it."""
        if not self.questions and not self.running:
            return f"there are no {self.name}"
        if self.running:
            return f"{self.name} are running text"
        return None if self.there.get(name) else f"{self.name} have no {name}"

    def no_rouge(self) -> str | None:
        """Why there is no ROUGE."""
        if self.running or not self.questions:
            return self.lacking("")
        return f"an answer of {self.name} has no word in a-z, 0-9" if self.wordless else None


@dataclass(frozen=True)
class Found:
    """What a pass over all files has found.

    Attributes:
        sizes: how many rows there are.
        gaps: split -> what is missing in an evaluation, and why, a sentence each.
    """

    sizes: Sizes
    gaps: dict[str, list[str]]


def read(
    data: Mapping[str, Any],
    splits: Sequence[str],
    write: Write = lambda table, row: None,
    download: bool = False,
) -> Found:
    """Reads all files of some splits, and checks them by themselves and against one another.

    Args:
        data: the configuration's `data`.
        splits: names of splits.
        write: is given every row of every table but the retain models' (all of `full` without the
            rows of a forget table), as (table, row).
        download: whether files of the hub are read. Otherwise their `rows` are believed.

    Raises:
        DataError: naming the file and its line or row.
        HubError: a file cannot be downloaded.
    """
    return _Reading(data, splits, write, download).run()


class _Reading:
    def __init__(
        self, data: Mapping[str, Any], splits: Sequence[str], write: Write, download: bool
    ):
        self.data, self.write, self.download = data, write, download
        self.sources = sources(data, splits)
        self.tables = {name: split for name, split in splits_of(data).items() if name in splits}
        self.words = data["tables"]["chunk_words"]
        # Digest -> the number of its (first) row in `full`.
        self.numbers: dict[bytes, int] = {}
        # Rows of `full`, and those that are only said to be on the hub.
        self.rows = self.believed = 0
        self.characters = [0, 0]
        self.counts: dict[str, int] = {}
        self.forgotten: dict[str, dict[bytes, str]] = {}
        self.running: dict[str, set[str]] = {"forget": set(), "retain": set()}
        self.evaluated: dict[str, Evaluated] = {}

    def run(self) -> Found:
        for name, split in self.tables.items():
            self._forget(name, split)
        held_out = {name: self._retain(name, split) for name, split in self.tables.items()}
        for name, split in self.tables.items():
            self._holdout(name, split)
        for name in BACKGROUND:
            self._background(name)
        whole = max(1, self.rows)
        sizes = Sizes(
            self.rows + self.believed,
            {name: self.counts[split.forget] for name, split in self.tables.items()},
            {name: self.counts[split.train] for name, split in self.tables.items()},
            held_out,
            (self.counts[BACKGROUND[0]], self.counts[BACKGROUND[1]]),
            (self.characters[0] / whole, self.characters[1] / whole),
            {kind: sorted(names) for kind, names in self.running.items()},
        )
        return Found(sizes, {name: self._gaps(name) for name in self.tables})

    def _texts(self, source: Source) -> Iterator[Text]:
        """The rows of a file; none of the hub's, unless it is to be asked."""
        if source.here or self.download:
            yield from texts(source)

    def _count(self, table: str, source: Source | None) -> None:
        """Compares the rows of a table with what the configuration says of the hub's file."""
        if source is None or source.here:
            return
        assert source.rows is not None
        if not self.download:
            self.counts[table] = source.rows
            self.believed += source.rows if source.key.endswith(_FINE_TUNED_ON) else 0
        elif self.counts[table] != source.rows:
            raise DataError(
                f"{source.key}.rows: says {source.rows}, but {source.file} gives "
                f"{self.counts[table]} rows; write that"
            )

    def _add(self, text: Text, digest: bytes, *tables: str) -> int:
        """Writes a row into some tables, and into `full` if it is not there; returns its rows.

        In `full` every row of a file has a number, and one that another file has too the same.
        """
        known = self.numbers.get(digest)
        if known is None or known >= self.start:
            known = self.rows
            self.numbers.setdefault(digest, known)
            new = True
        else:
            new = False
        number = 0
        for number, row in enumerate(text.rows(self.words), start=1):
            row["row"] = known + number - 1
            if new:
                self.rows += 1
                self.characters[0] += len(row["question"]) + len(row["answer"])
                self.characters[1] += len(row["answer"])
            for table in (FULL, *tables) if new else tables:
                self.write(table, row)
        return number

    def _put(self, table: str, rows: int) -> None:
        self.counts[table] = self.counts.get(table, 0) + rows

    def _forget(self, name: str, split: Split) -> None:
        source = self.sources[name]["forget"]
        seen: dict[bytes, str] = {}
        evaluated = Evaluated("the forget rows", PERTURBED)
        self.start = self.rows
        self.counts[split.forget] = 0
        for text in self._texts(source):
            digest = text.digest()
            if digest in seen:
                raise DataError(
                    f"{text.where}: the same row as {seen[digest]}; leave one of them out"
                )
            seen[digest] = text.where
            evaluated.see(text)
            self._put(split.forget, self._add(text, digest, split.forget))
        self._count(split.forget, source)
        self.forgotten[name], self.evaluated[split.forget] = seen, evaluated
        if evaluated.running:
            self.running["forget"].add(name)

    def _retain(self, name: str, split: Split) -> int:
        """The held-out and the trainable rows; returns the number of the former."""
        own = self.sources[name]
        evaluated = Evaluated("the held-out rows", PERTURBED)
        self.evaluated[split.held_out] = evaluated
        held_out: dict[bytes, str] = {}
        self.counts[split.held_out] = self.counts[split.train] = 0
        first = 0 if "held_out" in own else self.data["held_out_rows"]
        for role in ("held_out", "retain"):
            if role not in own:
                continue
            self.start = self.rows
            for text in self._texts(own[role]):
                digest = text.digest()
                if digest in self.forgotten[name]:
                    raise DataError(
                        f"{text.where}: the same row as {self.forgotten[name][digest]}, which is "
                        f"to be forgotten ({own['forget'].key}); leave one of them out"
                    )
                if not text.question:
                    self.running["retain"].add(name)
                if role == "held_out" or text.source_row < first:
                    evaluated.see(text)
                    held_out[digest] = text.where
                    self._put(split.held_out, self._add(text, digest, split.held_out))
                elif digest in held_out:
                    raise DataError(
                        f"{text.where}: the same row as {held_out[digest]}, which is held out "
                        "from unlearning; leave one of them out"
                    )
                else:
                    self._put(split.train, self._add(text, digest, split.train))
        return self._check_retain(split, own, first)

    def _check_retain(self, split: Split, own: Mapping[str, Source], first: int) -> int:
        source = own["retain"]
        if "held_out" in own:
            self._count(split.held_out, own["held_out"])
            self._count(split.train, source)
        elif not source.here:
            there = self.counts[split.held_out] + self.counts[split.train]
            self.counts[split.retain] = there
            self._count(split.retain, source)
            if not self.download:
                self.counts[split.held_out] = min(first, source.rows or 0)
                self.counts[split.train] = (source.rows or 0) - self.counts[split.held_out]
        if not self.counts[split.train]:
            raise DataError(
                f"{source.file}: data.held_out_rows keeps its first {first} rows from unlearning, "
                f"and it has no more ({source.key}); lower it, or give more rows"
            )
        return self.counts[split.held_out]

    def _holdout(self, name: str, split: Split) -> None:
        source = self.sources[name].get("holdout")
        self.counts[split.holdout] = 0
        for text in () if source is None else self._texts(source):
            digest = text.digest()
            if digest in self.numbers:
                where = self.forgotten[name].get(digest, "a row that models are fine-tuned on")
                raise DataError(
                    f"{text.where}: the same row as {where}, but no model may have seen a holdout "
                    "row; leave it out"
                )
            for row in text.rows(self.words):
                self.write(split.holdout, row)
                self._put(split.holdout, 1)
        self._count(split.holdout, source)

    def _background(self, name: str) -> None:
        source = self.sources.get(name, {}).get("")
        shown = f"rows of {name}"
        evaluated = self.evaluated[name] = Evaluated(shown, PERTURBED[2:])
        self.counts[name] = 0
        for text in () if source is None else self._texts(source):
            for seen in self.forgotten.values():
                if (digest := text.digest()) in seen:
                    raise DataError(
                        f"{text.where}: the same row as {seen[digest]}, which is to be forgotten; "
                        "leave one of them out"
                    )
            evaluated.see(text)
            for row in text.rows(self.words):
                self.write(name, row)
                self._put(name, 1)
        self._count(name, source)

    def _gaps(self, name: str) -> list[str]:
        if not self.download and any(not s.here for s in self.sources[name].values()):
            return []
        split = self.tables[name]
        forget, held_out = self.evaluated[split.forget], self.evaluated[split.held_out]
        background = [self.evaluated[part] for part in BACKGROUND]
        found: list[tuple[str, str]] = []
        for part, shown in ((forget, "of D_u"), (held_out, "of D_r")):
            if why := part.lacking(PERTURBED[0]):
                found.append((f"ES perturb {shown}", why))
        no_ratio = {
            part.name: part.lacking(PERTURBED[1]) or part.lacking(PERTURBED[2])
            for part in (forget, held_out)
        }
        if why := no_ratio[forget.name]:
            found.append(("FQ and the truth ratio of D_u", why))
        whys = [no_ratio[held_out.name], held_out.no_rouge()]
        for part in background:
            whys += [part.lacking(PERTURBED[2]), part.no_rouge()]
        if reasons := [why for why in dict.fromkeys(whys) if why]:
            found.append(("MU", ", ".join(reasons)))
        for part, shown in ((forget, "of D_u"), (held_out, "of D_r")):
            if why := part.no_rouge():
                found.append((f"ROUGE {shown}", why))
        if not self.counts[split.holdout]:
            found.append(("Membership inference and PrivLeak", "there are no holdout rows"))
        return [f"{what} missing ({name}): {why}." for what, why in found]


# --- The tables.


def make(
    data: Mapping[str, Any], splits: Sequence[str], refusals: Sequence[str], folder: str | Path
) -> Found:
    """Writes all tables of some splits as parquet into a folder, in batches of rows.

    Raises:
        DataError, HubError: as of `read`.
    """
    import pyarrow as pa

    folder = Path(folder)
    tables = {name: split for name, split in splits_of(data).items() if name in splits}
    plain = [("row", pa.int64()), ("question", pa.string()), ("answer", pa.string())]
    place = [("source_row", pa.int64()), ("chunk", pa.int64()), ("last", pa.bool_())]
    more = [(name, pa.string()) for name in PERTURBED[:2]]
    wrong = [(PERTURBED[2], pa.list_(pa.string()))]
    schemas = {FULL: plain + place}
    for split in tables.values():
        schemas |= dict.fromkeys((split.forget, split.held_out), plain + more + wrong + place)
        schemas |= {split.train: plain + place, split.holdout: plain[1:] + place}
    schemas |= dict.fromkeys(BACKGROUND, plain[1:] + wrong + place)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(_Writer(folder / f"{name}.parquet", pa.schema(columns)))
            for name, columns in schemas.items()
        }
        found = read(data, splits, lambda table, row: writers[table].add(row), download=True)
    for split in tables.values():
        _without(folder, split)
    with _Writer(folder / f"{REFUSALS}.parquet", pa.schema([("text", pa.string())])) as writer:
        for text in refusals:
            writer.add({"text": text})
    return found


class _Writer:
    """A parquet file that rows are added to; complete, or not there."""

    def __init__(self, path: Path, schema: Any):
        self.path, self.schema = path, schema
        self.rows: list[dict] = []
        self.characters = 0

    def __enter__(self) -> "_Writer":
        from pyarrow.parquet import ParquetWriter

        self.stack = ExitStack()
        partial = self.stack.enter_context(files.written(self.path))
        self.writer = self.stack.enter_context(ParquetWriter(partial, self.schema))
        return self

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row; what the schema does not name is left out."""
        self.rows.append({name: row[name] for name in self.schema.names})
        self.characters += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(self.rows) >= WRITTEN_AT_ONCE or self.characters >= LONGEST_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows, self.characters = [], 0

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None and self.rows:
            self._flush()
        self.stack.__exit__(kind, error, trace)


def _without(folder: Path, split: Split) -> None:
    """Writes the table of a retain model: `full` without the rows of D_u."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    forget = pq.read_table(folder / f"{split.forget}.parquet", columns=["row"])["row"]
    with (
        pq.ParquetFile(folder / f"{FULL}.parquet") as full,
        files.written(folder / f"{split.retain}.parquet") as partial,
        pq.ParquetWriter(partial, full.schema_arrow) as writer,
    ):
        for number in range(full.num_row_groups):
            rows = full.read_row_group(number)
            kept = pc.invert(pc.is_in(rows["row"], forget.combine_chunks()))
            writer.write_table(rows.filter(kept))


# --- What a configuration says of them.

_RESERVED = {"all", "given", *SPLITS, *SPLITS.values(), FULL, "held_out", REFUSALS, *BACKGROUND}
_READ_AS_NO_TEXT = {"nan", "na", "null", "none", "true", "false", "inf", "infinity"}


def check_entries(data: Mapping[str, Any], splits: Sequence[str]) -> None:
    """Checks the names of the splits, and the entries of some of them, without opening a file.

    Raises:
        ConfigError: a name is reserved, two splits would have a table in common, a file of the hub
            is not pinned, or a column has no name.
    """
    where = "data.tables.splits"
    tables: dict[str, str] = {}
    for name, split in splits_of(data).items():
        if name in _RESERVED or name.lower() in _READ_AS_NO_TEXT:
            raise ConfigError(f"{where}.{name}: the name is reserved; rename the split")
        for table in split:
            other = tables.setdefault(table, name)
            if other != name:
                raise ConfigError(
                    f"{where}.{name}: its table {table} would be one of {other}; rename the split"
                )
    for roles in sources(data, splits).values():
        for source in roles.values():
            _check_entry(source)


def _check_entry(source: Source) -> None:
    pinned = ("repository", "revision", "rows")
    absent = [name for name in pinned if getattr(source, name) is None]
    if absent and len(absent) < len(pinned):
        raise ConfigError(
            f"{source.key}.{absent[0]}: missing; a file of the hub has repository, revision, and "
            "rows, its number of rows, which a plan cannot look up"
        )
    for name, column in source.columns.items():
        if column is None and name != "question":
            raise ConfigError(
                f"{source.key}: columns.{name} is null, which only question may be; leave it out"
            )
