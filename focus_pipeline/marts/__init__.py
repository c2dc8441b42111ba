"""What the unified table answers: marts, each a SELECT that is kept as a table of schema `marts`, month by month."""
