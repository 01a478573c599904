"""A fleet of any size in virtual time, against a simulated Redis and API."""
