"""The model as it is: what every edit is compared with."""

from __future__ import annotations

from kgt.editors.base import EditReport, EditRequest, PlainEditor


class NoEdit(PlainEditor):
    """Learns nothing."""

    name = "no_edit"

    def edit(self, request: EditRequest) -> EditReport:
        return EditReport(0.0)

    def reset(self) -> None:
        pass
