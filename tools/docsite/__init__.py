"""Parts of the documentation site that MkDocs loads."""
