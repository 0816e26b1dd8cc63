"""The indices behind an alias: made, found, swapped and removed."""

import re
from dataclasses import dataclass

from elasticsearch import ApiError, BadRequestError, Elasticsearch, NotFoundError

from bookwheel_stores.search.elasticsearch.errors import is_missing
from bookwheel_stores.search.elasticsearch.mapping import index_body

_FIRST = 1
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Indices:
    """`<alias>-<n>`, n counting up. One is behind the alias; another may be about to take its place."""

    client: Elasticsearch
    alias: str

    def serving(self) -> list[str]:
        """The index behind the alias; none before the first."""
        try:
            return sorted(self.client.indices.get_alias(name=self.alias).body)
        except NotFoundError:
            return []

    def all(self) -> list[str]:
        """In the order in which they were made."""
        found = self.client.indices.get_alias(index=f"{self.alias}-*", allow_no_indices=True).body
        return sorted((name for name in found if re.fullmatch(r"\d+", name[len(self.alias) + 1 :])), key=_number)

    def ensure(self) -> None:
        """Makes an empty index behind the alias where there is none. Two who do so at once make the same one."""
        if not self.serving() and not self._created(_FIRST, aliases={self.alias: {}}) and not self.serving():
            self.client.indices.put_alias(index=f"{self.alias}-{_FIRST}", name=self.alias)

    def create(self) -> str:
        """The name of a new, empty index that nobody is served from."""
        for _ in range(_ATTEMPTS):
            number = max([_FIRST, *map(_number, self.all())]) + 1
            name = f"{self.alias}-{number}"
            if self._created(number, aliases={filling(name): {}}):
                return name
        raise RuntimeError(f"no name is free for an index behind {self.alias}")

    def swap(self, name: str) -> list[str]:
        """Puts the index behind the alias in one step; returns those that were there, which serve nobody any more."""
        before = [each for each in self.serving() if each != name]
        actions = [{"remove": {"index": each, "alias": self.alias}} for each in before]
        self.client.indices.update_aliases(actions=[*actions, {"add": {"index": name, "alias": self.alias}}])
        return before

    def discard(self, name: str) -> None:
        """Removes an index that serves nobody; one that is gone already is fine."""
        try:
            self.client.indices.delete(index=name)
        except ApiError as error:
            if not is_missing(error):
                raise

    def _created(self, number: int, *, aliases: dict[str, dict[str, str]]) -> bool:
        try:
            self.client.indices.create(index=f"{self.alias}-{number}", aliases=aliases, **index_body())
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            return False
        return True


def filling(name: str) -> str:
    """An alias of an index of its own, for who fills it: written to by its name, it would be made without mapping where
    another build has removed it."""
    return f"{name}-filling"


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
