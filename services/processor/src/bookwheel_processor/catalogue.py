"""Takes offers into the catalogue: what they change of offers, books, observations and the feed."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import orjson
from bookwheel_contracts import ChangeKind, Verdict
from bookwheel_stores.records.catalogue_writer import CatalogueWriter, OfferKey, Row
from bookwheel_stores.records.content import book_content

from bookwheel_processor import rows
from bookwheel_processor.deliveries import Accepted
from bookwheel_processor.gates import Gate
from bookwheel_processor.merge import merge
from bookwheel_processor.verdict import Sighting, judge

_NO_GATES: Mapping[str, Gate] = MappingProxyType({})


@dataclass(slots=True)
class _Taken:
    """An accepted item beside the offer as it was known before, None for a new one."""

    accepted: Accepted
    known: Row | None

    @property
    def key(self) -> OfferKey:
        return self.accepted.offer.source, self.accepted.offer.source_key

    @property
    def shown(self) -> Row:
        """The offer as its book's content shows it."""
        first_seen = self.known["first_seen"] if self.known else self.accepted.sighting.seen_at
        return rows.shown_offer(self.accepted.offer, self.accepted.columns, first_seen)

    @property
    def is_live(self) -> bool:
        """Whether its book has the offer already."""
        return self.known is not None and self.known["removed_at"] is None

    @property
    def sighting_columns(self) -> Row:
        seen_at, run_id, item_number = self.accepted.sighting
        return {"last_seen": seen_at, "last_run": run_id, "last_item": item_number}


class _Loss(NamedTuple):
    """An offer that leaves its book, and the sighting, or the absence, by which it does."""

    key: OfferKey
    sighting: Sighting


@dataclass(slots=True)
class _BookUpdate:
    """One book that a wave touches: its row as it was (None for a new one), and the offers it gets and loses."""

    book_id: str
    known: Row | None
    takes: list[_Taken] = field(default_factory=list)
    loses: list[_Loss] = field(default_factory=list)


def take_in(
    writer: CatalogueWriter, accepted: Sequence[Accepted], gates: Mapping[str, Gate] = _NO_GATES
) -> tuple[list[Verdict | None], int]:
    """The verdict on each item, in their order, and the feed's sequence after them: 0 where no book changed.

    None for an item that would modify an offer while its run's gate is shut: nothing is done of it.
    """
    verdicts: dict[int, Verdict | None] = {}
    changes: list[Row] = []
    waves = _waves(accepted)
    if waves:
        writer.enter(alone=len(waves) > 1)
    for wave in waves:
        keys = {(accepted[at].offer.source, accepted[at].offer.source_key): at for at in wave}
        known = writer.offers(keys)
        returning = {source for (source, _), row in known.items() if row["removed_at"] is not None}
        gone_before = writer.gone_before(returning) if returning else {}
        taken: dict[Verdict, list[_Taken]] = defaultdict(list)
        for key, at in keys.items():
            one = accepted[at]
            verdict = judge(known.get(key), one.columns["fingerprint"], one.sighting, gone_before)
            verdicts[at] = verdict
            taken[verdict].append(_Taken(one, known.get(key)))
        for staged in _withhold(taken, gates):
            verdicts[keys[staged.key]] = None
        _touch(writer, taken[Verdict.UNCHANGED])
        changes += _apply(writer, taken[Verdict.ADDED] + taken[Verdict.MODIFIED])
    return [verdicts[at] for at in range(len(accepted))], writer.add_changes(changes)


def _withhold(taken: dict[Verdict, list[_Taken]], gates: Mapping[str, Gate]) -> list[_Taken]:
    """Takes out, and returns, what would modify an offer and may not yet."""
    if not gates:
        return []
    for run_id, count in Counter(one.accepted.item.run_id for one in taken[Verdict.UNCHANGED]).items():
        if run_id in gates:
            gates[run_id].unchanged += count
    shut = {run_id for run_id, gate in gates.items() if not gate.lets_through}
    staged = [one for one in taken[Verdict.MODIFIED] if one.accepted.item.run_id in shut]
    taken[Verdict.MODIFIED] = [one for one in taken[Verdict.MODIFIED] if one.accepted.item.run_id not in shut]
    return staged


def withdraw(writer: CatalogueWriter, offers: Sequence[Row], *, run_id: str, moment: int) -> int:
    """Takes offers that a run no longer sees from their books; returns the feed's sequence after it, 0 for no change.

    `offers` have the columns `number`, `book_number`, `source` and `source_key`.
    """
    known = {row["number"]: row for row in writer.books((), {row["book_number"] for row in offers}).values()}
    updates: dict[str, _BookUpdate] = {}
    for row in offers:
        book = known[row["book_number"]]
        update = updates.setdefault(book["book_id"], _BookUpdate(book["book_id"], book))
        update.loses.append(_Loss((row["source"], row["source_key"]), Sighting(moment, run_id, 0)))
    changes = _apply_updates(writer, [updates[book_id] for book_id in sorted(updates)], ())
    writer.withdraw([row["number"] for row in offers], moment=moment)
    return writer.add_changes(changes)


def _waves(accepted: Sequence[Accepted]) -> list[list[int]]:
    """Positions, parted so that no offer comes twice in a wave: each wave is then one set of statements."""
    waves: list[list[int]] = []
    seen: dict[OfferKey, int] = defaultdict(int)
    for at, one in enumerate(accepted):
        key = one.offer.source, one.offer.source_key
        wave = seen[key]
        seen[key] += 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(at)
    return waves


def _touch(writer: CatalogueWriter, unchanged: Sequence[_Taken]) -> None:
    writer.update_offers([{"number": one.known["number"], **one.sighting_columns} for one in unchanged if one.known])


def _apply(writer: CatalogueWriter, taken: Sequence[_Taken]) -> list[Row]:
    """Changes offers and books; returns what the feed is to tell of it."""
    return _apply_updates(writer, _updates(writer, taken), taken) if taken else []


def _apply_updates(writer: CatalogueWriter, updates: Sequence[_BookUpdate], taken: Sequence[_Taken]) -> list[Row]:
    siblings = writer.offers_of([update.known["number"] for update in updates if update.known])
    changes: list[Row] = []
    new_books: list[Row] = []
    changed_books: list[Row] = []
    for update in updates:
        others = [] if update.known is None else siblings.get(update.known["number"], [])
        book, change = _revise(update, others)
        if book is None or change is None:
            continue
        changes.append(change)
        (changed_books if update.known else new_books).append(book)
    numbers = writer.add_books(new_books) | {
        update.book_id: update.known["number"] for update in updates if update.known
    }
    writer.update_books(changed_books)
    _write_offers(writer, taken, numbers)
    for change in changes:
        change["book_number"] = numbers[change.pop("book_id")]
    return changes


def _updates(writer: CatalogueWriter, taken: Sequence[_Taken]) -> list[_BookUpdate]:
    """The books that get or lose one of these offers, in the order of their ids."""
    old_numbers = {one.known["book_number"] for one in taken if one.known}
    known = writer.books({one.accepted.offer.book_id for one in taken}, old_numbers)
    ids = {row["number"]: book_id for book_id, row in known.items()}
    updates: dict[str, _BookUpdate] = {}

    def update_of(book_id: str) -> _BookUpdate:
        return updates.setdefault(book_id, _BookUpdate(book_id, known.get(book_id)))

    for one in taken:
        update_of(one.accepted.offer.book_id).takes.append(one)
        if one.known and one.is_live and ids[one.known["book_number"]] != one.accepted.offer.book_id:
            update_of(ids[one.known["book_number"]]).loses.append(_Loss(one.key, one.accepted.sighting))
    return [updates[book_id] for book_id in sorted(updates)]


def _revise(update: _BookUpdate, others: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """The book's row and its change; (None, None) where nothing that a book shows is different."""
    kept: Sequence[Row] = others
    if others:
        replaced = {one.key for one in update.takes} | {loss.key for loss in update.loses}
        kept = [row for row in others if (row["source"], row["source_key"]) not in replaced]
    offers = [one.accepted.offer for one in update.takes] + [rows.offer_of(row, update.book_id) for row in kept]
    if not offers:
        return _remove(update, others)
    columns = rows.book_columns(merge(offers))
    shown = [*(one.shown for one in update.takes), *kept]
    if update.known is not None:
        return _revise_known(update, update.known, columns, shown)
    moment = _latest(update).seen_at
    book = {"book_id": update.book_id, "first_seen": moment, "last_changed": moment, "revision": 1, "removed_at": None}
    book |= columns
    return book, _change(update, ChangeKind.ADDED, (), book, shown)


def _remove(update: _BookUpdate, offers: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """`offers` are those that it had until now: its content is the book as it last was."""
    if update.known is None:
        return None, None
    book = _next_revision(update, update.known) | {name: update.known[name] for name in rows.BOOK_COLUMNS}
    book["removed_at"] = book["last_changed"]
    return book, _change(update, ChangeKind.REMOVED, (), update.known | book, offers)


def _next_revision(update: _BookUpdate, known: Row) -> Row:
    moment = max(_latest(update).seen_at, known["last_changed"])
    return {"number": known["number"], "last_changed": moment, "revision": known["revision"] + 1, "removed_at": None}


def _revise_known(update: _BookUpdate, known: Row, columns: Row, shown: Sequence[Row]) -> tuple[Row | None, Row | None]:
    fields = rows.changed_fields(known, columns)
    if update.loses or any(_shows_otherwise(one, known["number"]) for one in update.takes):
        fields.add("offers")
    if not fields:
        return None, None
    kind = ChangeKind.MODIFIED if known["removed_at"] is None else ChangeKind.RESTORED
    book = _next_revision(update, known) | columns
    return book, _change(update, kind, fields, known | book, shown)


def _shows_otherwise(taken: _Taken, book_number: int) -> bool:
    known = taken.known
    if known is None or not taken.is_live or known["book_number"] != book_number:
        return True
    return rows.shows_otherwise(known, taken.accepted.columns)


def _latest(update: _BookUpdate) -> Sighting:
    if len(update.takes) == 1 and not update.loses:
        return update.takes[0].accepted.sighting
    return max([one.accepted.sighting for one in update.takes] + [loss.sighting for loss in update.loses])


def _change(update: _BookUpdate, kind: ChangeKind, fields: Collection[str], book: Row, offers: Sequence[Row]) -> Row:
    """`book` and `offers` are all that its content is made of."""
    return {
        "book_id": update.book_id,
        "revision": book["revision"],
        "kind": kind.value,
        "fields": orjson.dumps(sorted(fields)).decode() if fields else "[]",
        "changed_at": book["last_changed"],
        "run_id": _latest(update).run_id,
        "content": book_content(book, offers),
    }


def _write_offers(writer: CatalogueWriter, taken: Sequence[_Taken], book_numbers: Mapping[str, int]) -> None:
    new: list[Row] = []
    modified: list[Row] = []
    for one in taken:
        offer, columns = one.accepted.offer, one.accepted.columns
        row = {**columns, **one.sighting_columns, "book_number": book_numbers[offer.book_id], "removed_at": None}
        if one.known:
            modified.append(row | {"number": one.known["number"]})
        else:
            first_seen = one.accepted.sighting.seen_at
            new.append(row | {"source": offer.source, "source_key": offer.source_key, "first_seen": first_seen})
    numbers = writer.add_offers(new)
    writer.update_offers(modified)
    observed = [
        one
        for one in taken
        if one.known is None or not one.is_live or rows.is_observed_otherwise(one.known, one.accepted.columns)
    ]
    numbers |= {one.key: one.known["number"] for one in observed if one.known}
    writer.observe(
        [rows.observation(numbers[one.key], one.accepted.sighting.seen_at, one.accepted.columns) for one in observed],
        superseding={one.known["number"] for one in observed if one.known},
    )
