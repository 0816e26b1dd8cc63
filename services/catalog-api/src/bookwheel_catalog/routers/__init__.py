"""The routes: each reads its parameters, asks one part, and answers."""
