"""What the end-to-end tests are made of: processes, sockets and patience. See ../README.md."""
