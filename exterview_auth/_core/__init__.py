"""What decides: who gets which token, and when a login is made. It knows no network library."""
