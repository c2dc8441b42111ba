"""Storage servers for tests: S3, Azure Blob Storage and Google Cloud Storage on loopback."""
