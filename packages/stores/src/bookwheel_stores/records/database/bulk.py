"""Writes whole batches of rows, as the engine takes them fastest: see `engine_ways.Dialect`."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table

from bookwheel_stores.records.database.dialect import Row, dialect_of


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """All rows have the same columns, with values as the driver takes them; columns' defaults do not apply."""
    if rows:
        dialect_of(connection.dialect.name).insert_rows(connection, table, rows)


def insert_numbered(connection: Connection, number: Column[Any], rows: Sequence[Row]) -> list[int]:
    """Inserts rows without a `number`; returns the numbers that they get, in the rows' order."""
    if not rows:
        return []
    numbers = list(dialect_of(connection.dialect.name).reserve_numbers(connection, number, len(rows)))
    numbered = [row | {number.name: given} for row, given in zip(rows, numbers, strict=True)]
    insert_rows(connection, number.table, numbered)
    return numbers


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts the rows; one that is already there, by any unique key, stays as it is. The columns' defaults apply.

    Where several rows go in, in the order of a unique key: two transactions that wait for each other's would be in a
    deadlock.
    """
    if rows:
        dialect_of(connection.dialect.name).insert_or_ignore(connection, table, rows)


def add_counts(connection: Connection, counted: Column[Any], rows: Sequence[Row]) -> None:
    """Adds each row's count to the row of the same primary key, or inserts it."""
    if rows:
        dialect_of(connection.dialect.name).add_counts(connection, counted, rows)


def update_rows(
    connection: Connection, rows: Sequence[Row], *, by: Column[Any], only: ColumnElement[bool] | None = None
) -> None:
    """Each row has the column `by` that tells whom it is for, and every column to set; all rows the same columns."""
    if rows:
        dialect_of(connection.dialect.name).update_rows(connection, rows, by=by, only=only)


def in_values(connection: Connection, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether the column has one of the values, up to some ten thousand of them."""
    return dialect_of(connection.dialect.name).in_values(column, values)
