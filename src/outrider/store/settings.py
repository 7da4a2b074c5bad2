"""The knobs of the database: the [store] and [embedded] tables. `config.py` assembles all floors' sections."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [store] table: how each process speaks to PostgreSQL, embedded or not."""

    pool_size: Annotated[int, Meta(ge=1, le=50)] = 3
    """Connections of one process. Work is gathered into batches, so few are busy; each costs the server about 3 MB.
    All processes together must stay under the server's max_connections."""

    statement_timeout_s: Seconds = 30.0
    """How long one statement may take before its caller hears that the database is not available. Longer hides a
    sick database, shorter fails large batches on a slow disk."""


class EmbeddedSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [embedded] table: the PostgreSQL that comes with the package. Without effect if `database_url` is set."""

    shared_buffers_mb: Annotated[int, Meta(ge=16, le=65_536)] = 64
    """The server's cache, kept in memory as long as it runs. The system's file cache backs it, so more helps only once
    the tables read often are larger than this."""

    max_connections: Annotated[int, Meta(ge=10, le=1000)] = 60
    """Connections of all processes together, commands included. Each open one costs about 3 MB."""

    max_wal_size_mb: Annotated[int, Meta(ge=64, le=1_048_576)] = 2048
    """About how much disk the write-ahead log may take between two checkpoints. More makes checkpoints rarer, and the
    start after a crash longer: roughly one second per 100 MB."""

    log_bytes_max: Annotated[int, Meta(ge=65_536, le=10_000_000_000)] = 16_000_000
    """The size at which log/postgres.log becomes log/postgres.log.1. Both together stay under twice this."""

    start_wait_s: Seconds = 60.0
    """How long a start waits for a server without a sign of life. One that says it recovers is waited for longer."""

    recovery_wait_s: Seconds = 3600.0
    """How long a start waits for a server that recovers from a crash."""

    stop_wait_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    """How long a stop waits for the last checkpoint. After that the server is stopped at once, which loses nothing but
    makes the next start recover."""
