"""Takes offers into the catalog: what they change of offers, books, observations and the feed."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bookwheel_contracts import Verdict
from bookwheel_stores.records.catalog.writer import CatalogWriter, OfferKey, Row
from bookwheel_stores.records.runs.missing_offers import CompleteRuns, MissingOffers

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.approval import RunApproval
from bookwheel_processor.ingest.book_plan import BookUpdate, Taken, revise
from bookwheel_processor.ingest.classification import Sighting, is_newer, judge
from bookwheel_processor.ingest.decoding import Accepted

_NO_GATES: Mapping[str, RunApproval] = MappingProxyType({})


def take_in(
    writer: CatalogWriter,
    absences: MissingOffers,
    accepted: Sequence[Accepted],
    gates: Mapping[str, RunApproval] = _NO_GATES,
) -> tuple[list[Verdict | None], int]:
    """The verdict on each item, in their order, and the feed's sequence after them: 0 where no book changed.

    None for an item that must wait at its run's gate: nothing is done of it.
    """
    verdicts: dict[int, Verdict | None] = {}
    changes: list[Row] = []
    waves = _waves(accepted)
    if waves:
        writer.lock(exclusive=len(waves) > 1)
    gone = _gone(absences, accepted)
    for wave in waves:
        keys = {(accepted[at].offer.source, accepted[at].offer.source_key): at for at in wave}
        known = writer.lock_offers(keys)
        taken: dict[Verdict, list[Taken]] = defaultdict(list)
        for key, at in keys.items():
            one, row = accepted[at], known.get(key)
            verdict = judge(row, one.columns["fingerprint"], one.sighting, is_gone=at in gone)
            verdicts[at] = verdict
            taken[verdict].append(Taken(one.offer, one.columns, one.sighting, row, one.sighting.seen_at))
        for staged in _withhold(taken, gates):
            verdicts[keys[staged.key]] = None
        repeats = _sort_repeats(taken[Verdict.DUPLICATE])
        _touch(writer, taken[Verdict.UNCHANGED] + repeats.confirm)
        changes += _apply(writer, taken[Verdict.ADDED] + taken[Verdict.MODIFIED], repeats)
        for runs, ats in _by_runs(gone, wave):
            changes += _withdraw_again(writer, runs, [accepted[at] for at in ats])
    return [verdicts[at] for at in range(len(accepted))], writer.add_changes(changes)


def withdraw(writer: CatalogWriter, offers: Sequence[Row], *, run_id: str, moment: int) -> int:
    """Takes offers that runs no longer see from their books; returns the feed's sequence after it, 0 for no change.

    `offers` have the columns `number`, `book_number`, `source` and `source_key`.
    """
    return writer.add_changes(_withdraw(writer, offers, Sighting(moment, run_id, 0)))


def reinstate(writer: CatalogWriter, offers: Sequence[Row], *, run_id: str, moment: int) -> int:
    """Gives removed offers, as their whole rows are, back to their books; returns the feed's sequence after it."""
    back = []
    for row in offers:
        seen = Sighting(row["last_seen"], row["last_run"], row["last_item"])
        back.append(Taken(rows.offer_of(row), rows.columns_of(row), seen, row, moment))
    return writer.add_changes(_apply(writer, back, _NO_REPEATS, by=Sighting(moment, run_id, 0)))


class _Repeats(NamedTuple):
    """Duplicates that tell something nevertheless: that an offer was still, or already, there at some time; or, of one
    that is removed and stays so, what its page last said."""

    confirm: list[Taken]
    earlier: list[Taken]
    posthumous: list[Taken]


_NO_REPEATS = _Repeats([], [], [])


def _sort_repeats(duplicates: Sequence[Taken]) -> _Repeats:
    confirm: list[Taken] = []
    earlier: list[Taken] = []
    posthumous: list[Taken] = []
    for one in duplicates:
        if one.known is None:
            continue
        if is_newer(one.known, one.sighting):
            (confirm if one.is_live else posthumous).append(one)
        elif one.sighting.seen_at < one.known["first_seen"]:
            earlier.append(one)
    return _Repeats(confirm, earlier, posthumous)


def _withhold(taken: dict[Verdict, list[Taken]], gates: Mapping[str, RunApproval]) -> list[Taken]:
    """Takes out, and returns, what would modify or add an offer and may not yet."""
    if not gates:
        return []
    for run_id, count in Counter(one.sighting.run_id for one in taken[Verdict.UNCHANGED]).items():
        if run_id in gates:
            gates[run_id].unchanged += count
    staged: list[Taken] = []
    for verdict, shut in (
        (Verdict.MODIFIED, {run_id for run_id, gate in gates.items() if not gate.lets_through}),
        (Verdict.ADDED, {run_id for run_id, gate in gates.items() if not gate.lets_add}),
    ):
        staged += [one for one in taken[verdict] if one.sighting.run_id in shut]
        taken[verdict] = [one for one in taken[verdict] if one.sighting.run_id not in shut]
    return staged


def _gone(absences: MissingOffers, accepted: Sequence[Accepted]) -> dict[int, CompleteRuns]:
    """Positions of the items that are so old that complete runs have missed their offers since, and these runs."""
    oldest: dict[str, int] = {}
    for one in accepted:
        seen_at = one.sighting.seen_at
        if seen_at < oldest.get(one.offer.source, seen_at + 1):
            oldest[one.offer.source] = seen_at
    gone: dict[int, CompleteRuns] = {}
    for source, runs in absences.complete_runs_after(oldest).items():
        late = [
            at for at, one in enumerate(accepted) if one.offer.source == source and runs.is_missing(*one.sighting[:2])
        ]
        met = absences.seen(runs, {accepted[at].offer.source_key for at in late})
        gone |= {at: runs for at in late if accepted[at].offer.source_key not in met}
    return gone


def _by_runs(gone: Mapping[int, CompleteRuns], wave: Sequence[int]) -> Collection[tuple[CompleteRuns, list[int]]]:
    found: dict[str, tuple[CompleteRuns, list[int]]] = {}
    if gone:
        for at in wave:
            if at in gone:
                found.setdefault(gone[at].source, (gone[at], []))[1].append(at)
    return found.values()


def _withdraw_again(writer: CatalogWriter, runs: CompleteRuns, accepted: Sequence[Accepted]) -> list[Row]:
    """Removes what came by items after whose time complete runs missed it: as if they had come in time."""
    found = writer.lock_offers({(one.offer.source, one.offer.source_key) for one in accepted})
    gone = []
    for one in accepted:
        row = found.get((one.offer.source, one.offer.source_key))
        if row and row["removed_at"] is None and one.sighting == (row["last_seen"], row["last_run"], row["last_item"]):
            gone.append(row)
    return _withdraw(writer, gone, Sighting(runs.ended_at, runs.ids[0], 0)) if gone else []


def _withdraw(writer: CatalogWriter, offers: Sequence[Row], by: Sighting) -> list[Row]:
    known = {row["number"]: row for row in writer.lock_books((), {row["book_number"] for row in offers}).values()}
    updates: dict[str, BookUpdate] = {}
    for row in offers:
        book = known[row["book_number"]]
        update = updates.setdefault(book["book_id"], BookUpdate(book["book_id"], book, sightings=[by]))
        update.leave.add((row["source"], row["source_key"]))
    changes = _apply_updates(writer, [updates[book_id] for book_id in sorted(updates)], ())
    writer.remove_offers([row["number"] for row in offers], moment=by.seen_at)
    return changes


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


def _touch(writer: CatalogWriter, seen: Sequence[Taken]) -> None:
    writer.update_offers([{"number": one.known["number"], **one.sighting_columns} for one in seen if one.known])


def _apply(
    writer: CatalogWriter, taken: Sequence[Taken], repeats: _Repeats, *, by: Sighting | None = None
) -> list[Row]:
    """Changes offers and books, `by` the items themselves or by something else; returns what the feed is to tell."""
    told = [*repeats.earlier, *repeats.posthumous]
    if not taken and not told:
        return []
    wanted = {one.offer.book_id for one in taken} | {one.offer.book_id for one in repeats.posthumous}
    known = writer.lock_books(wanted, {one.known["book_number"] for one in (*taken, *told) if one.known})
    ids = {row["number"]: book_id for book_id, row in known.items()}
    moved = [one for one in repeats.posthumous if one.known and ids[one.known["book_number"]] != one.offer.book_id]
    taken = [*taken, *moved]  # for a moment: see `_withdraw_again`
    updates = _updates(taken, repeats.earlier, known, ids)
    if by is not None:
        for update in updates:
            update.sightings = [by]
    changes = _apply_updates(writer, updates, taken)
    writer.update_offers(
        [{"number": one.known["number"], "first_seen": one.first_seen} for one in repeats.earlier if one.known]
    )
    writer.update_offers(
        [
            {"number": one.known["number"], **one.columns, **one.sighting_columns}
            for one in repeats.posthumous
            if one.known and one not in moved
        ]
    )
    return changes


def _updates(
    taken: Sequence[Taken], earlier: Sequence[Taken], known: Mapping[str, Row], ids: Mapping[int, str]
) -> list[BookUpdate]:
    """The books whose offers change, in the order of their ids."""
    updates: dict[str, BookUpdate] = {}

    def update_of(book_id: str, sighting: Sighting) -> BookUpdate:
        found = updates.get(book_id)
        if found is None:
            found = updates[book_id] = BookUpdate(book_id, known.get(book_id))
        found.sightings.append(sighting)
        return found

    for one in taken:
        update_of(one.offer.book_id, one.sighting).takes.append(one)
        if one.known and ids[one.known["book_number"]] != one.offer.book_id:
            former = update_of(ids[one.known["book_number"]], one.sighting)
            former.lost.add(one.key)
            if one.is_live:
                former.leave.add(one.key)
    for one in earlier:
        if one.known:
            update_of(ids[one.known["book_number"]], one.sighting).seen_earlier[one.key] = one.sighting.seen_at
    return [updates[book_id] for book_id in sorted(updates)]


def _apply_updates(writer: CatalogWriter, updates: Sequence[BookUpdate], taken: Sequence[Taken]) -> list[Row]:
    siblings = writer.list_offers([update.known["number"] for update in updates if update.known])
    pages = writer.first_seen_by_offer(
        [update.known["number"] for update in updates if update.known and update.needs_pages]
    )
    changes: list[Row] = []
    new_books: list[Row] = []
    changed_books: list[Row] = []
    for update in updates:
        others: Sequence[Row] = ()
        if update.known is not None:
            others = siblings.get(update.known["number"], ())
            update.pages = pages.get(update.known["number"], {}) if update.needs_pages else None
        book, change = revise(update, others)
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


def _write_offers(writer: CatalogWriter, taken: Sequence[Taken], book_numbers: Mapping[str, int]) -> None:
    new: list[Row] = []
    modified: list[Row] = []
    for one in taken:
        offer = one.offer
        row = {**one.columns, **one.sighting_columns, "book_number": book_numbers[offer.book_id], "removed_at": None}
        if one.known:
            modified.append(row | {"number": one.known["number"]})
        else:
            first_seen = one.sighting.seen_at
            new.append(row | {"source": offer.source, "source_key": offer.source_key, "first_seen": first_seen})
    numbers = writer.add_offers(new)
    writer.update_offers(modified)
    observed = [
        one
        for one in taken
        if one.known is None or not one.is_live or rows.is_observed_otherwise(one.known, one.columns)
    ]
    numbers |= {one.key: one.known["number"] for one in observed if one.known}
    writer.add_observations(
        [rows.observation(numbers[one.key], one.since, one.columns) for one in observed],
        superseding={one.known["number"] for one in observed if one.known},
    )
