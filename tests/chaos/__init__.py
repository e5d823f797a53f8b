"""Kills for real: any process, at any moment, on SQLite and on PostgreSQL. Nothing may be lost or done twice."""
