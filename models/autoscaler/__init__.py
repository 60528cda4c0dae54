"""A scaler, its replicas and its queue through time: thousands of policies on many traces at once."""
