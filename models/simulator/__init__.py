"""Continuous batching, iteration by iteration, in thousands of lanes at once."""
