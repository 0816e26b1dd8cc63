"""Development tooling: what `make check`, `make docs` and the documentation's tests run. Not part of the product."""
