"""The aiohttp side: requests, their answers, and the login's own session. Nothing else knows aiohttp's internals."""
