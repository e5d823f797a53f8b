"""Makes jobs, engines and instances for the tests of datasets, through the same tables the product writes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import uuid6

from accounts.models import User
from datasets.importing import claim_import, import_all
from datasets.models import Job, Upload, UploadPart
from datasets.options import JobOptions
from inference.models import Engine, EngineModel, EngineStatus
from inference.slots import sync_slots
from nodes.instances import register
from nodes.models import Node, ProcessInstance


def rows(count: int) -> list[str]:
    """That many rows, each with a text of its own."""
    return [json.dumps({"instruction": f"say {index}", "id": index}) for index in range(count)]


def an_uploaded_job(texts: Sequence[str], *, part_rows: int = 200, **options: Any) -> Job:
    """A job whose rows are checked and wait to be imported."""
    owner, _ = User.objects.get_or_create(username="otto")
    upload = Upload.objects.create(owner=owner)
    for sequence, first in enumerate(range(0, len(texts), part_rows)):
        part = texts[first : first + part_rows]
        UploadPart.objects.create(
            upload=upload,
            sequence=sequence,
            first_index=first,
            rows=len(part),
            packed=zlib.compress("\n".join(part).encode()),
        )
    return Job.objects.create(
        id=str(uuid6.uuid7()),
        owner=owner,
        name="a dataset",
        total=len(texts),
        upload=upload,
        options=JobOptions(**options).to_json(),
    )


def a_job(texts: Sequence[str] | int, **options: Any) -> Job:
    """A job whose rows are imported and wait for workers."""
    job = an_uploaded_job(rows(texts) if isinstance(texts, int) else texts, **options)
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    import_all(job=claimed, is_lost=lambda: False)
    return Job.objects.get(id=job.id)


def an_instance(kind: str = "drain") -> ProcessInstance:
    """A living process."""
    return register(kind=kind)


def an_engine(
    name: str,
    base_url: str = "",
    *,
    kind: str = "ollama",
    slots: int = 2,
    models: Sequence[str] = ("m",),
    embedders: Sequence[str] = (),
) -> Engine:
    """An online engine on a node of its own, with slots and resident models; `embedders` generate nothing."""
    node = Node.objects.create(name=name)
    engine = Engine.objects.create(
        node=node, kind=kind, base_url=base_url or f"http://127.0.0.1/{name}", slots=slots
    )
    EngineStatus.objects.create(engine=engine, kind=kind, is_online=True, slots=slots)
    EngineModel.objects.bulk_create(
        [
            EngineModel(engine=engine, name=model, is_resident=True, can_generate=model in models)
            for model in (*models, *embedders)
        ]
    )
    sync_slots(engine_id=engine.id, count=slots)
    return engine
