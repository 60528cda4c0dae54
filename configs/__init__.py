"""Typed user input: schemas, YAML loading and the example scenarios."""
