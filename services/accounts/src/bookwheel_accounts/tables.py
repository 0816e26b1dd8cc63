"""The tables of accounts. Times are Unix seconds. Passwords, refresh tokens and API keys are stored only as hashes."""

from bookwheel_stores.records import Schema
from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, String, Table

ACCOUNTS_SCHEMA = Schema("bookwheel_accounts:migrations", "accounts_version", head="0001")
"""The tables are in the records database, with a separate migration history."""

metadata = MetaData()

account = Table(
    "account",
    metadata,
    Column("user_id", String(40), primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

login_session = Table(
    "login_session",
    metadata,
    Column("session_id", String(40), primary_key=True),
    Column("user_id", String(40), ForeignKey("account.user_id", ondelete="CASCADE"), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("revoked_at", BigInteger),
    Index("ix_login_session_user_id", "user_id"),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("session_id", String(40), ForeignKey("login_session.session_id", ondelete="CASCADE"), nullable=False),
    Column("used_at", BigInteger),
    Index("ix_refresh_token_session_id", "session_id"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", String(40), primary_key=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("user_id", String(40), ForeignKey("account.user_id", ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index("ix_api_key_user_id", "user_id"),
)
