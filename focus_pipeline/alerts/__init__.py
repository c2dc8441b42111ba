"""Messages about problems: what is told, in which words, and how none is lost on its way. Knows nothing of Dagster."""
