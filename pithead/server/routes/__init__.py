"""The addresses of the server, one module a noun; each has a `router`."""
