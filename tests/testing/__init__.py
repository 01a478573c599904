"""Tests of the testing kit: the pytest plugin, in processes of its own, and `exterview_auth.testing`."""
