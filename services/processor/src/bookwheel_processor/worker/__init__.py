"""The Celery worker: its tasks, jobs, schedule and watchdog."""
