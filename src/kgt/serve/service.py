"""What every face of the server works with: one model, one graph, and an assistant for each request's user."""

from __future__ import annotations

import threading
from functools import cached_property

from kgt.assistant import Assistant
from kgt.graph import GraphStore
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from kgt.lm.remote import RemoteModel
from kgt.lm.shared import SharedModel
from kgt.settings import Settings


class Service:
    """The parts that requests share; `close` finishes what was begun.

    Args:
        model: loaded from the settings when it is first needed, if not given; the service computes with it
            in one thread of its own.
        keyless: whether requests without a key are the settings' user's, as on one's own machine.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: GraphStore | None = None,
        model: LanguageModel | None = None,
        encoder: SentenceEncoder | None = None,
        keyless: bool = True,
    ) -> None:
        self.settings = settings
        self.store = store or GraphStore.open(settings.db)
        self.keyless = keyless
        self._given_model, self._given_encoder = model, encoder
        self._loading = threading.Lock()

    @cached_property
    def _parts(self) -> tuple[LanguageModel, SentenceEncoder | None, SharedModel | None]:
        local = Assistant(
            self.settings.user,
            model=self._given_model,
            store=self.store,
            encoder=self._given_encoder or bundled_encoder(),
            settings=self.settings,
        )
        model, encoder = local.model, local.encoder
        if encoder:
            encoder.load()
        if isinstance(model, RemoteModel):  # the other server puts requests together itself
            return model, encoder, None
        shared = SharedModel(model, encoder)
        return shared, shared.encoder, shared

    def load(self) -> None:
        """Load the model, if it is not."""
        with self._loading:
            _ = self._parts

    @property
    def loaded(self) -> bool:
        """Whether the model is ready."""
        return "_parts" in vars(self)

    @property
    def model(self) -> LanguageModel:
        self.load()
        return self._parts[0]

    def assistant(self, user: str, said_by: str = "") -> Assistant:
        """The assistant of one user; it costs nothing to make, and has no conversation as yet."""
        return Assistant(
            user,
            model=self.model,
            encoder=self._parts[1],
            store=self.store,
            settings=self.settings,
            said_by=said_by,
        )

    def graph(self, user: str, said_by: str = "") -> Assistant:
        """The same for what needs no model, so that it works while the model is loading."""
        return Assistant(user, store=self.store, settings=self.settings, said_by=said_by)

    def close(self) -> None:
        """Finish what was begun, then close the model and the database."""
        if self.loaded and self._parts[2]:
            self._parts[2].close()
        self.store.close()
