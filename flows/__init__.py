"""Prefect flows and the command line: the only room that composes the others."""
