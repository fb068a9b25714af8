"""The dashboards as code: what each panel asks, in words and in PromQL; `grafana` alone knows Grafana's JSON.

For development: nothing that serves imports this package. `make generate` writes deploy/grafana/dashboards/.
"""
