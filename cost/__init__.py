"""The full cost of a plan: lines, attribution, unit economics, budget rows, self-host or API, sensitivity."""
