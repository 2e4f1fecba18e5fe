"""The store's tables, and how an older store becomes one of this version. SQLite and PostgreSQL alike.

Times are wall-clock milliseconds since 1970, for people; nothing is decided by them. A store may serve several data
centers, in which object ids are the same: whatever is kept of an object has the uuid of its data center beside it.
"""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only columns declared INTEGER."""


def _sequence() -> "Column[int]":
    return Column("sequence", _ID, primary_key=True, autoincrement=True)


SETTINGS = Table(
    "ostler_settings",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

APPLIES = Table(
    "applies",
    METADATA,
    Column("apply_id", String(64), primary_key=True),
    Column("plan_id", String(128), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("data_center", String(36), nullable=False),
    Column("owner", String(36), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("stop_requested", Text, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Index("applies_by_digest", "digest"),
)

JOURNAL = Table(
    "journal",
    METADATA,
    _sequence(),
    Column("data_center", String(36), nullable=False),
    Column("apply_id", String(64), nullable=False),
    Column("step_id", String(256), nullable=False),
    Column("event", String(16), nullable=False),
    Column("key", String(512), nullable=False),
    Column("host", String(256), nullable=False),
    Column("object", String(256), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("result", Text, nullable=False),
    Column("monotonic_ms", BigInteger, nullable=False),
    Column("wallclock_ms", BigInteger, nullable=False),
    Index("journal_by_apply", "apply_id", "sequence"),
    Index("journal_by_key", "settled", "key"),
    Index("journal_by_object", "object", "sequence"),
)

HISTORY = Table(
    "history",
    METADATA,
    _sequence(),
    Column("wallclock_ms", BigInteger, nullable=False),
    Column("object", String(256), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("data_center", String(36), nullable=False, server_default=""),
    Index("history_by_object", "object", "sequence"),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("data_center", String(36), primary_key=True),
    Column("object", String(256), primary_key=True),
    Column("digest", String(128), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("wallclock_ms", BigInteger, nullable=False),
)

CONFIRMATIONS = Table(
    "confirmations",
    METADATA,
    _sequence(),
    Column("data_center", String(36), nullable=False),
    Column("host", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("runs", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("wallclock_ms", BigInteger, nullable=False),
)

PAUSES = Table(
    "pauses",
    METADATA,
    Column("data_center", String(36), primary_key=True),
    Column("scope", String(256), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("wallclock_ms", BigInteger, nullable=False),
)

REQUESTS = Table(
    "requests",
    METADATA,
    _sequence(),
    Column("data_center", String(36), nullable=False),
    Column("vm", String(256), nullable=False),
    Column("intent", String(36), nullable=False, unique=True),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("wallclock_ms", BigInteger, nullable=False),
)

RESULTS = Table(
    "results",
    METADATA,
    Column("data_center", String(36), primary_key=True),
    Column("ledger", String(36), primary_key=True),
    Column("object", String(256), primary_key=True),
    Column("generation", BigInteger, nullable=False),
)


CENTERS = Table(
    "data_centers",
    METADATA,
    Column("uuid", String(36), primary_key=True),
    Column("name", String(256), nullable=False),
)


def create_tables(connection: Connection) -> None:
    """An empty store of VERSION in an empty database."""
    METADATA.create_all(connection)


OLDEST = 5
"""The oldest version that is brought to VERSION; older ones are refused."""


def _add_centers_to_history(connection: Connection) -> None:
    """Events from before have no data center. The journal is found by object."""
    connection.execute(text("ALTER TABLE history ADD COLUMN data_center VARCHAR(36) NOT NULL DEFAULT ''"))
    connection.execute(text("CREATE INDEX journal_by_object ON journal (object, sequence)"))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_add_centers_to_history,)
"""Entry n turns a store of version OLDEST + n into one of the next version, by plain statements."""

VERSION = OLDEST + len(MIGRATIONS)
