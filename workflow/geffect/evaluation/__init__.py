"""Evaluation of a model: what it knows and says, and what it still shows of what it should forget.

- `teacher_forcing`: NLL and predicted tokens of answers, from one pass;
- `passes`: the costly part: teacher-forced scores, greedy generations, gradient norms;
- `samples`: the per-row log that is made from them;
- `summary`: metrics with their bootstrap intervals, from that log;
- `folder`: all of it for a model, or a model folder with the record of what was evaluated;
- `steps`: the same for chosen steps of a run;
- `trajectory`: what a model still knows along its run, read from passes that are made anyway;
- `matched`: the largest part of a run's change that keeps retention, and its evaluation;
- `command`: the same from the command line;
- `metrics/`: one pure function per metric.
"""
