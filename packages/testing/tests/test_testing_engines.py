"""The shared servers are real, and each test has its own database, index prefix and bucket."""

import httpx
import psycopg
from bookwheel_testing.engines import S3Store


def test_a_database_is_empty_and_in_the_c_collation(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        ordered = connection.execute("SELECT 'Z' < 'a'").fetchone()
    assert (tables, ordered) == ((0,), (True,))


def test_elasticsearch_finds_an_indexed_document(elasticsearch_server: str, elasticsearch_prefix: str) -> None:
    index = f"{elasticsearch_server}/{elasticsearch_prefix}books"
    httpx.put(f"{index}/_doc/1?refresh=true", json={"title": "sea"}, timeout=30).raise_for_status()
    assert httpx.get(f"{index}/_count?q=title:sea").json()["count"] == 1


def test_a_bucket_stores_files(s3: S3Store) -> None:
    filesystem = s3.filesystem()
    with filesystem.open_output_stream(f"{s3.bucket}/a/b") as stream:
        stream.write(b"sea")
    with filesystem.open_input_stream(f"{s3.bucket}/a/b") as stream:
        assert stream.read() == b"sea"
