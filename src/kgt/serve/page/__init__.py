"""The page: chat on one side, the user's knowledge graph on the other. NiceGUI; everything it loads is in its wheel."""

from kgt.serve.page.routes import living, mount

__all__ = ["living", "mount"]
