"""Evaluation of a model: what it knows, says, and still shows of what it was to forget.

- `passes`: what costs: teacher-forced scores, greedy generations, gradient norms;
- `samples`: the per-row log that they are put together to;
- `summary`: metrics with their bootstrap intervals, from that log;
- `folder`: all of it for a model folder, and the record of what was evaluated.
"""
