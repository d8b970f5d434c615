"""Methods that verify leaves alone, since calling them would change a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protoserve.verify.address import UsageError
from protoserve.verify.side_effects import changing_word
from zoo.process import checks_with, running, verify_here
from zoo.proto import FOREIGN

CHANGING = """
    Shutdown ShutDown SHUTDOWN shutdown UnloadModel unload_model ModelUnload RepositoryModelLoad LoadModel
    SystemSharedMemoryRegister CudaSharedMemoryUnregister HandleReloadConfigRequest SetDefault ScaleWorker
    RegisterModel DeleteUser Reset ResetState clear_cache ClearCache StoresSet StoresDelete DropTable CreateIndex
    UpdateWeights update_weights_from_disk StopServer RemoveItem WriteRow PutObject V2Unload PredictAndUpdate
    GetOrCreate FlushKVCache AbortRequest sleep wake_up
""".split()
HARMLESS = """
    Predict PredictStream predict Infer ModelInfer ModelStreamInfer Explain Score Embed Classify GetModelMetadata
    ServerReady ModelReady ServerMetadata ListModels DescribeModel Health Generate Chat Completion SayHello Rerank
    PredictLoad ForecastLoad GetUpdates ListDeletedItems IsLoaded TraceSetting Reading Settlement Asset Offset
    PostProcess Dataset Loading Downloads Resettlement Detokenize Encode Decode Transcribe Warmup Prefill Do Ask
""".split()


@pytest.mark.parametrize(("names", "changing"), [(CHANGING, True), (HARMLESS, False)], ids=["changing", "harmless"])
def test_the_words_of_a_name_decide(names: list[str], changing: bool) -> None:
    assert [name for name in names if (changing_word(name) is not None) is not changing] == []


@pytest.fixture(scope="module")
def managed() -> Iterator[tuple[str, ...]]:
    with running("managed") as port:
        yield f"127.0.0.1:{port}", "--proto", str(FOREIGN / "managed_pb/managed.proto"), "--only", "bad-input"


def test_what_changes_something_is_left_alone_and_named(managed: tuple[str, ...]) -> None:
    code, report = verify_here(*managed)
    assert (code, report["verdict"]) == (0, "pass")
    seen = checks_with(report, "pass")["implemented"]
    assert "1 method: Predict answers OK" in seen
    assert "UnloadModel, Shutdown (--call UnloadModel calls it)" in seen


def test_what_the_user_excludes_is_left_alone_too(managed: tuple[str, ...]) -> None:
    code, report = verify_here(*managed, "--no-call", "managed.v1.ManagedModel/Predict")
    assert (code, report["verdict"]) == (3, "unjudged")
    assert "--call managed.v1.ManagedModel/UnloadModel" in report["unjudged"]
    excluded = [argument for name in ("Predict", "UnloadModel", "Shutdown") for argument in ("--no-call", name)]
    code, report = verify_here(*managed, *excluded)  # nothing is called, as the user wants it
    assert (code, report["verdict"]) == (0, "pass")
    assert "as --no-call says: UnloadModel, Predict, Shutdown" in checks_with(report, "skip")["implemented"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--call", "Shutdwn"), "--call Shutdwn: .* the methods are: managed.v1.ManagedModel/UnloadModel, "),
        (("--no-call", "other.v1.ManagedModel/Predict"), "--no-call other.v1.ManagedModel/Predict"),
        (("--call", "Shutdown", "--no-call", "ManagedModel/Shutdown"), "in --call and in --no-call"),
    ],
)
@pytest.mark.parametrize("source", ["reflection", "proto"])
def test_a_name_that_no_method_has_is_an_error(
    managed: tuple[str, ...], source: str, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        verify_here(*(managed if source == "proto" else managed[:1]), *options)


def test_one_that_reflection_does_not_have_is_named_without_a_call(managed: tuple[str, ...], tmp_path: Path) -> None:
    proto = tmp_path / "managed.proto"
    text = (FOREIGN / "managed_pb/managed.proto").read_text(encoding="utf-8")
    proto.write_text(text.replace("rpc Shutdown(", "rpc ResetCache("), encoding="utf-8")
    _, report = verify_here(managed[0], "--proto", str(proto), "--only", "implemented")
    assert "The contract has ResetCache, and the server's own contract" in checks_with(report, "warn")["implemented"]
    _, report = verify_here(managed[0], "--proto", str(proto), "--only", "implemented", "--no-call", "ResetCache")
    assert report["verdict"] == "pass"
