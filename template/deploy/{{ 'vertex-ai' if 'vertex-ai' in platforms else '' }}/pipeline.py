"""Upload the model to Vertex AI as a Kubeflow pipeline, to run alone or as a step of one that trains.

`python pipeline.py FILE.yaml [--image IMAGE]` compiles it, without a network.
"""

import argparse
from pathlib import Path

from google_cloud_pipeline_components.types import artifact_types
from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp, ModelDeployOp
from google_cloud_pipeline_components.v1.model import ModelUploadOp
from kfp import compiler, dsl
from kfp.dsl import base_component
from spec import checked


def pipeline(image: str | None) -> base_component.BaseComponent:
    """The pipeline for container_spec.yaml. Of the artifact's metadata, it reads only `containerSpec`, in camelCase."""
    spec = checked(image, sending=False)

    @dsl.pipeline(  # type: ignore[untyped-decorator]  # kfp is not installed where types are checked
        name="model-upload", description="Uploads the model, and deploys it if asked."
    )
    def upload(
        project: str = spec["project"],
        location: str = spec["region"],
        display_name: str = spec["displayName"],
        artifact_uri: str = spec["artifactUri"],
        deploy: bool = False,
    ) -> None:
        model = dsl.importer(
            artifact_uri=artifact_uri,
            artifact_class=artifact_types.UnmanagedContainerModel,
            metadata={"containerSpec": spec["containerSpec"]},
        )
        where = {"project": project, "location": location}
        uploaded = ModelUploadOp(
            **where, display_name=display_name, unmanaged_container_model=model.outputs["artifact"]
        )
        with dsl.If(deploy == True, name="deploy"):  # noqa: E712 - a placeholder, not a bool
            endpoint = EndpointCreateOp(**where, display_name=display_name)
            ModelDeployOp(
                model=uploaded.outputs["model"],
                endpoint=endpoint.outputs["endpoint"],
                traffic_split={"0": "100"},  # without it, a new endpoint sends no requests to the model
                dedicated_resources_machine_type=spec["machineType"],
                dedicated_resources_min_replica_count=spec["minReplicas"],
                dedicated_resources_max_replica_count=spec["maxReplicas"],
            )

    return upload


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the pipeline.")
    parser.add_argument("file", type=Path, help="the output, a .yaml or .json file")
    parser.add_argument("--image", help="the image to use instead of imageUri")
    options = parser.parse_args()
    options.file.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline(options.image), str(options.file))
    print(f"{options.file}: compiled")


if __name__ == "__main__":
    main()
