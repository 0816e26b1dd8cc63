"""The tables of accounts: beside the records in one database, migrated by themselves."""

from bookwheel_stores.records import Schema

ACCOUNTS = Schema("bookwheel_accounts:migrations", "accounts_version", head="0001")
