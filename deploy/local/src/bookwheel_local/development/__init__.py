"""What `make check`, `make docs` and the tests of the documentation run."""
