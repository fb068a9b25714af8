"""Pictures of the dashboards, drawn from what a Prometheus holds: `python -m metrics.preview --help`.

A reader of the documentation sees what a dashboard will show without having a Grafana. They are our own drawings of the
same panels, queries, units and thresholds, and say so; how Grafana draws them is Grafana's.
"""
