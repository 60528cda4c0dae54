"""What machines are told: Kubernetes workloads, scalers, quota requests and budgets, from a plan and its scaling."""
