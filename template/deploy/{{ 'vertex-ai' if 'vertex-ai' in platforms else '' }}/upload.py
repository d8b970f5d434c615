"""Upload the model to Vertex AI with its SDK, and deploy it.

`python upload.py [--image IMAGE] [--deploy] [--dry-run]` needs credentials: `gcloud auth application-default login`, or
the machine's service account.
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
    """The request for UploadModel. It is the API's message, since the SDK's arguments cover only part of it."""
    model = aiplatform_v1.Model(
        display_name=spec["displayName"],
        container_spec=aiplatform_v1.ModelContainerSpec.wrap(parsed(spec["containerSpec"])),
        artifact_uri=spec["artifactUri"],
    )
    parent = f"projects/{spec['project']}/locations/{spec['region']}"
    return aiplatform_v1.UploadModelRequest(parent=parent, model=model)


def upload(spec: dict[str, Any]) -> str:
    """Upload the model. Returns its resource name."""
    client = aiplatform_v1.ModelServiceClient(
        client_options={"api_endpoint": f"{spec['region']}-aiplatform.googleapis.com"}
    )
    return str(client.upload_model(request=request(spec)).result().model)


def deploy(spec: dict[str, Any], model: str) -> str:
    """Deploy the model to the dedicated endpoint of its name, created if necessary. Returns the endpoint's name."""
    aiplatform.init(project=spec["project"], location=spec["region"])
    name = spec["displayName"]
    endpoints = aiplatform.Endpoint.list(filter=f'display_name="{name}"')
    endpoint = (
        endpoints[0] if endpoints else aiplatform.Endpoint.create(display_name=name, dedicated_endpoint_enabled=True)
    )
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
    parser.add_argument("--image", help="the image to use instead of imageUri")
    parser.add_argument("--deploy", action="store_true", help="also deploy it to an endpoint")
    parser.add_argument("--dry-run", action="store_true", help="print the request as JSON and send nothing")
    options = parser.parse_args()
    spec = checked(options.image, sending=not options.dry_run)
    if options.dry_run:
        _show(json_format.MessageToJson(aiplatform_v1.UploadModelRequest.pb(request(spec))))
        return
    model = upload(spec)
    print(model)
    if options.deploy:
        print(deploy(spec, model))


def _show(text: str) -> None:
    """Print, although the reader may close the pipe early, as `| head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
