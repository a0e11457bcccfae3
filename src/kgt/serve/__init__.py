"""The server: an OpenAI-compatible endpoint, REST, MCP and a page, for many users on one model and one database."""
