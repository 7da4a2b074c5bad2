"""Alembic's entry: runs the versions on the connection that `store.migrate` hands over."""

from alembic import context


def _run() -> None:
    context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


_run()
