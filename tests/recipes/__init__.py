"""Programs to copy into an application, each with a test that runs it with the real package."""
