"""Metrics for ops: what exists (catalogue) and how a snapshot of a process becomes Prometheus text (exposition)."""
