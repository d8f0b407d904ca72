"""A cell (model, split, objective, regularizer, seed): its losses, its rows, what it draws."""
