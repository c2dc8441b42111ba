"""land -> normalise -> check -> publish: one module per step, each a plain function usable without Dagster."""
