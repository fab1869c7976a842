"""What every layer may use: errors, clock, tasks with owners, logging, ids, byte streams. Knows no Kubernetes."""
