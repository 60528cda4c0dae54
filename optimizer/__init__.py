"""The fleet plan: a mixed-integer program and its explanation."""
