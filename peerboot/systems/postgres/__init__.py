"""Postgres: a primary and its standbys."""
