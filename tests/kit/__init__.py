"""What tests are written with: an API, worker processes, clocks, a Redis, measures, odd values."""
