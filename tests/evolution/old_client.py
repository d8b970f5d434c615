"""A client that was compiled from the first version of the contract, and has nothing else of the project.

    python old_client.py STUBS TARGET

Prints what it got as one JSON object.
"""

from __future__ import annotations

import json
import sys

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

STUBS, TARGET = sys.argv[1:]
sys.path.insert(0, STUBS)

from rent.v1 import prediction_pb2 as pb  # type: ignore[import-not-found]  # noqa: E402
from rent.v1 import prediction_pb2_grpc as services  # type: ignore[import-not-found]  # noqa: E402


def main() -> None:
    with grpc.insecure_channel(TARGET, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = services.RentServiceStub(channel)
        rooms = [pb.Room(area=20.5, note="bright"), pb.Room(area=4)]
        request = pb.PredictRequest(rooms=rooms, district=pb.DISTRICT_NORTH, floor=-1, account=2**40, years=3)
        reply = stub.Predict(request, timeout=30)
        streamed = stub.Explain(pb.ExplainRequest(rent=reply.rent), timeout=30)
        wrong = pb.PredictRequest(rooms=[pb.Room(area=0)], district=pb.DISTRICT_NORTH, floor=3, years=1)
        error = stub.Predict.future(wrong, timeout=30).exception()
        details = error_details_pb2.BadRequest()
        rpc_status.from_call(error).details[0].Unpack(details)
        said = {
            "predict": MessageToDict(reply, preserving_proto_field_name=True),
            "grade": pb.Grade.Name(reply.grade),
            "explain": [MessageToDict(part, preserving_proto_field_name=True) for part in streamed],
            "wrong": [[item.field, item.description] for item in details.field_violations],
            "knows": sorted(field.name for field in pb.PredictRequest.DESCRIPTOR.fields),
        }
    print(json.dumps(said))


main()
