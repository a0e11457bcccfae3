"""The benchmark: data sets, metrics, the runner that measures editors on them, and the report."""
