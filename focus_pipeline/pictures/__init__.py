"""Pictures of amounts: what is drawn, and how."""
