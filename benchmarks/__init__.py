"""Accuracy and speed, measured by anyone on their own files. Never imported by the product."""
