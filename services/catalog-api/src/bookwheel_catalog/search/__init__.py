"""The search index behind the routes: query parameters, cursors, searches, cached pages."""
