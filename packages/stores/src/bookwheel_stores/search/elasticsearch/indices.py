"""Create, list, swap and delete the indices behind an alias."""

import re
from dataclasses import dataclass

from elasticsearch import ApiError, BadRequestError, Elasticsearch, NotFoundError

from bookwheel_stores.search.elasticsearch.client import is_index_missing
from bookwheel_stores.search.elasticsearch.mapping import index_body

_FIRST_NUMBER = 1
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Indices:
    """The indices `<alias>-<n>`. The alias refers to the serving index."""

    client: Elasticsearch
    alias: str

    def list_serving(self) -> list[str]:
        """Return the serving index, if it exists."""
        try:
            return sorted(self.client.indices.get_alias(name=self.alias).body)
        except NotFoundError:
            return []

    def list_all(self) -> list[str]:
        """Return all indices in the order of their creation."""
        names = self.client.indices.get_alias(index=f"{self.alias}-*", allow_no_indices=True).body
        return sorted((name for name in names if re.fullmatch(r"\d+", name[len(self.alias) + 1 :])), key=_number)

    def ensure(self) -> None:
        """Create an empty serving index if none exists. Concurrent calls create the same index."""
        if self.list_serving() or self._create(_FIRST_NUMBER, aliases={self.alias: {}}) or self.list_serving():
            return
        self.client.indices.put_alias(index=f"{self.alias}-{_FIRST_NUMBER}", name=self.alias)

    def create(self) -> str:
        """Create an empty index that does not serve. Return its name."""
        for _ in range(_ATTEMPTS):
            number = max([_FIRST_NUMBER, *map(_number, self.list_all())]) + 1
            name = f"{self.alias}-{number}"
            if self._create(number, aliases={build_alias(name): {}}):
                return name
        raise RuntimeError(f"no index name is free behind {self.alias}")

    def swap(self, name: str) -> list[str]:
        """Move the alias to this index atomically. Return the replaced indices. Idempotent."""
        replaced = [serving for serving in self.list_serving() if serving != name]
        actions = [{"remove": {"index": serving, "alias": self.alias}} for serving in replaced]
        self.client.indices.update_aliases(actions=[*actions, {"add": {"index": name, "alias": self.alias}}])
        return replaced

    def delete(self, name: str) -> None:
        """Delete an index that does not serve, if it exists."""
        try:
            self.client.indices.delete(index=name)
        except ApiError as error:
            if not is_index_missing(error):
                raise

    def _create(self, number: int, *, aliases: dict[str, dict[str, str]]) -> bool:
        """Return whether the index was created; False if it exists."""
        try:
            self.client.indices.create(index=f"{self.alias}-{number}", aliases=aliases, **index_body())
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            return False
        return True


def build_alias(name: str) -> str:
    """Return the alias for writes to a new index.

    If another build has deleted the index, a write to its name would create an index without a mapping.
    """
    return f"{name}-filling"


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
