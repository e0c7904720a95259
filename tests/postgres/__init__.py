"""Postgres: its directory, read, and real servers of each major release."""
