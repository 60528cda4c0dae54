"""JAX kernels: memory, step time, throughput and service curves."""
