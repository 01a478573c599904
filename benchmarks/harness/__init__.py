"""What the scenarios share: the API that they measure against, processes, tables and what is noted of this machine."""
