"""Readers: any trace or metric export in, canonical rows and a record of every repair and reject out."""
