"""G-effects: what a loss does to the risk of a data set, to first order.

    e(D, L; θ) = ∇R(D; θ) · ∇L(θ)

- `gradients`: exact gradients over whole data sets, and their products by component and block;
- `instances`: ∇R(D) · ∇log p(s) for every sample s and component, in one pass;
- `rules`: how the output of a module changes along a direction, by type of module;
- `tokens`: ∇R(D) · ∇log p_i for every label token, by forward-mode differentiation;
- `reweighting`: the G-effect of any reweighted log-likelihood, from the table of tokens;
- `measure`: all of these for a model in memory, in a call each;
- `measurement`: all of these along a cell's run;
- `given`: the same along a training that somebody else runs, of rows and losses that are brought;
- `callback`, `undisturbed`: in a `transformers.Trainer`, which must not notice;
- `command`: of saved checkpoints.
"""
