"""Evaluation of a model: what it knows and says, and what it still shows of what it should forget.

- `passes`: the costly part: teacher-forced scores, greedy generations, gradient norms;
- `samples`: the per-row log that is made from them;
- `summary`: metrics with their bootstrap intervals, from that log;
- `folder`: all of it for a model, or a model folder with the record of what was evaluated;
- `command`: the same from the command line;
- `metrics/`: one pure function per metric.
"""
