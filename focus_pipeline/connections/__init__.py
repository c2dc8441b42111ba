"""How each provider's deliveries are discovered and fetched. Providers are read, never written."""
