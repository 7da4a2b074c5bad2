"""The tables, as alembic migrations. `store.migrate` runs them; nothing else imports this."""
