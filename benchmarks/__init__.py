"""Programs that print what the library costs: ``python -m benchmarks`` in the checkout."""
