"""The model to Vertex AI by the SDK.

`python upload.py [--image IMAGE] [--deploy] [--dry-run]` needs credentials: `gcloud auth application-default login`, or
a service account of the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from google.cloud import aiplatform, aiplatform_v1
from google.protobuf import json_format
from spec import checked, parsed


def request(spec: dict[str, Any]) -> aiplatform_v1.UploadModelRequest:
    """What UploadModel is asked: the API's message as the file has it, not through arguments that know a part of it."""
    model = aiplatform_v1.Model(
        display_name=spec["displayName"],
        container_spec=aiplatform_v1.ModelContainerSpec.wrap(parsed(spec["containerSpec"])),
        artifact_uri=spec["artifactUri"],
    )
    parent = f"projects/{spec['project']}/locations/{spec['region']}"
    return aiplatform_v1.UploadModelRequest(parent=parent, model=model)


def upload(spec: dict[str, Any]) -> str:
    """Uploads the model; its resource name."""
    client = aiplatform_v1.ModelServiceClient(
        client_options={"api_endpoint": f"{spec['region']}-aiplatform.googleapis.com"}
    )
    return str(client.upload_model(request=request(spec)).result().model)


def deploy(spec: dict[str, Any], model: str) -> str:
    """Deploys the model to a dedicated endpoint, made if there is none of its name; the endpoint's resource name."""
    aiplatform.init(project=spec["project"], location=spec["region"])
    name = spec["displayName"]
    found = aiplatform.Endpoint.list(filter=f'display_name="{name}"')
    endpoint = found[0] if found else aiplatform.Endpoint.create(display_name=name, dedicated_endpoint_enabled=True)
    aiplatform.Model(model).deploy(
        endpoint=endpoint,
        machine_type=spec["machineType"],
        min_replica_count=spec["minReplicas"],
        max_replica_count=spec["maxReplicas"],
        traffic_percentage=100,
    )
    return str(endpoint.resource_name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Upload the model to Vertex AI.")
    parser.add_argument("--image", help="another image than imageUri")
    parser.add_argument("--deploy", action="store_true", help="deploy it to an endpoint, too")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, as JSON")
    given = parser.parse_args()
    spec = checked(given.image, sending=not given.dry_run)
    if given.dry_run:
        _show(json_format.MessageToJson(aiplatform_v1.UploadModelRequest.pb(request(spec))))
        return
    model = upload(spec)
    print(model)
    if given.deploy:
        print(deploy(spec, model))


def _show(text: str) -> None:
    """Prints; who reads may have enough before the end, as `| head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
