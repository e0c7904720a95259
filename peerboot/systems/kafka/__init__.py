"""Kafka in KRaft mode."""
