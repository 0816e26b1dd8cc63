"""Predicts ratings with the champion, and logs each prediction to a stream."""
