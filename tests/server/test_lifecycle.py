"""From start to exit: what loads and what does not, and that a stop loses no answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import grpc
import pytest

from serving import MODEL, NOT_SERVING, SERVING, Probe, Server, error_of, serving, starting
from support import ROOT

pytestmark = pytest.mark.each_transport

DOCKERFILE = (ROOT / "template" / "Dockerfile.jinja").read_text(encoding="utf-8")


def end_of(probe: Probe, **settings: str) -> tuple[int, Server]:
    """The exit code of a server that ends by itself, and what it left."""
    with starting(probe, **settings) as server:
        return server.ended(), server


@pytest.fixture
def artifact(probe: Probe, tmp_path: Path) -> Path:
    return probe.artifact("plain", tmp_path)


def test_a_missing_artifact_is_named(probe: Probe, tmp_path: Path) -> None:
    code, server = end_of(probe, MODEL_PATH=str(tmp_path / "nothing.txt"))
    assert code == 1
    assert server.messages("CRITICAL") == (
        f"loading the model failed: the artifact {tmp_path / 'nothing.txt'} does not exist: "
        "`make model` writes one, MODEL_PATH names another"
    )


@pytest.mark.parametrize("where", ["file", "setting", "empty file"])
def test_an_artifact_with_another_digest_is_not_loaded(probe: Probe, artifact: Path, where: str) -> None:
    digest, beside, settings = "0" * 64, artifact.with_name("model.txt.sha256"), {}
    if where == "setting":
        settings["MODEL_SHA256"] = digest
    else:
        beside.write_text(f"{digest}  model.txt\n" if where == "file" else "nothing\n", encoding="utf-8")
    code, server = end_of(probe, MODEL_PATH=str(artifact), **settings)
    assert code == 1
    assert "is damaged or another one: SHA-256 " in server.messages("CRITICAL")
    assert "make model" not in server.messages("CRITICAL")  # which would replace it
    assert ("MODEL_SHA256 says" if where == "setting" else "model.txt.sha256 says") in server.messages("CRITICAL")
    assert server.told.ended() == []  # the author's class never saw it


def test_a_digest_may_be_given_instead_of_a_file(probe: Probe, artifact: Path) -> None:
    digest = probe.python(
        "-c", f"import hashlib; print(hashlib.sha256(open({str(artifact)!r}, 'rb').read()).hexdigest())"
    )
    with serving(probe, MODEL_PATH=str(artifact), MODEL_SHA256=digest.stdout.strip().upper()) as server:
        assert server.messages("WARNING") == ""


def test_no_digest_is_a_warning(probe: Probe, artifact: Path, tmp_path: Path) -> None:
    with serving(probe, MODEL_PATH=str(artifact)) as server:
        assert server.messages("WARNING") == (
            f"the artifact {artifact} is not verified: it has no .sha256 file and MODEL_SHA256 is not set; "
            f"to seal it: (cd {tmp_path} && sha256sum model.txt > model.txt.sha256)"
        )


def test_the_sealed_artifact_is_loaded_without_a_warning(probe: Probe) -> None:
    with serving(probe) as server:
        assert server.messages("WARNING") == ""
    seal = (probe.path / "artifacts" / "model.txt.sha256").read_text(encoding="utf-8")
    assert seal.startswith("# written with numpy ")
    checked = subprocess.run(["sha256sum", "-c", "model.txt.sha256"], cwd=probe.path / "artifacts", check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize(("distribution", "installed"), [("numpy", ""), ("no-such-framework", "none")])
def test_another_version_of_the_framework_is_told(
    probe: Probe, artifact: Path, distribution: str, installed: str
) -> None:
    probe.python(
        "-c",
        f"from pathlib import Path; from probe.server.artifact import seal; seal(Path({str(artifact)!r}), 'numpy')",
    )
    beside = artifact.with_name("model.txt.sha256")
    lines = beside.read_text(encoding="utf-8").splitlines()
    beside.write_text(f"# written with {distribution} 0.9.1\n{lines[-1]}\n", encoding="utf-8")
    with serving(probe, MODEL_PATH=str(artifact)) as server:
        assert f"{artifact} was written with {distribution} 0.9.1; installed is {installed}" in server.messages(
            "WARNING"
        )


def test_a_model_that_fails_to_load_ends_the_server_with_the_reason(probe: Probe, tmp_path: Path) -> None:
    code, server = end_of(probe, MODEL_PATH=str(probe.artifact("failing", tmp_path)))
    assert code == 1
    assert server.messages("CRITICAL") == "loading the model failed: RuntimeError: the weights are torn"
    (line,) = [line for line in server.log.json() if line["level"] == "CRITICAL"]
    assert "model.py" in line["error"]


def test_a_model_that_leaves_while_it_loads_is_a_failure(probe: Probe, tmp_path: Path) -> None:
    code, server = end_of(probe, MODEL_PATH=str(probe.artifact("leaving", tmp_path)))
    assert code == 1
    assert "loading the model failed" in server.messages("CRITICAL")


@pytest.mark.parametrize(("how", "reason"), [("raising", "v1.Predict"), ("unfit", "v1.Predict")])
def test_a_model_that_cannot_answer_the_warm_up_is_never_serving(
    probe: Probe, tmp_path: Path, how: str, reason: str
) -> None:
    code, server = end_of(probe, MODEL_PATH=str(probe.artifact(how, tmp_path)))
    assert code == 1
    assert server.messages("CRITICAL").startswith(f"the warm-up request of {reason} failed: ")
    assert server.messages("ERROR").startswith(f"{reason} (request warm-up): ")
    assert "serving" not in server.messages("INFO")


@pytest.mark.parametrize(
    "model",
    [
        MODEL.replace("def count(", "def counting("),
        MODEL.replace("class Model:", "class Other:"),
        MODEL.replace("class Model:", "from .contract import ModelInterface\nclass Model(ModelInterface):").replace(
            "def count(", "def counting("
        ),
    ],
    ids=["lacks a method", "has another name", "inherits the method that says nothing"],
)
def test_a_model_without_a_method_of_the_contract_does_not_start(probe: Probe, tmp_path: Path, model: str) -> None:
    code, server = end_of(probe.with_model(model, tmp_path / "project"))
    assert code == 1
    reason = server.messages("CRITICAL")
    assert reason.startswith("loading the model failed: write ")
    assert "count" in reason.partition(" in class Model of ")[0]
    assert reason.endswith("model.py: see contract.ModelInterface")


def test_an_abstract_model_does_not_start(probe: Probe, tmp_path: Path) -> None:
    model = MODEL.replace("    def count(", "    @abc.abstractmethod\n    def count(").replace(
        "import json\n", "import abc\nimport json\n"
    )
    code, server = end_of(
        probe.with_model(model.replace("class Model:", "class Model(abc.ABC):"), tmp_path / "project")
    )
    assert code == 1
    assert "abstract method" in server.messages("CRITICAL")
    assert "count" in server.messages("CRITICAL")


def test_health_is_not_serving_until_the_model_has_failed(probe: Probe, tmp_path: Path) -> None:
    model = MODEL.replace('if how == "slow":', 'if how == "failing":')
    with starting(
        probe.with_model(model, tmp_path / "project"), MODEL_PATH=str(probe.artifact("failing", tmp_path))
    ) as server:
        states = server.watch()
        assert next(states) == NOT_SERVING
        server.release()
        assert SERVING not in states
        assert server.ended() == 1


def test_a_taken_port_is_refused_in_one_line(probe: Probe) -> None:
    with serving(probe) as first:
        code, second = end_of(probe, PORT=str(first.port))
        assert code == 1
        *_, last = second.log.all
        assert [line for line in second.log.all if not line.startswith("{")] == []
        assert f"cannot listen on 127.0.0.1, port {first.port}: Address already in use; another process" in last
        assert second.told.ended() == []  # nothing was loaded for nothing
        assert first.predict(1).result == 2


def test_why_a_port_cannot_be_bound_is_said_in_the_systems_words(probe_project: Probe) -> None:
    code = (
        "import errno, os, socket\n"
        "from probe.server.binding import BindError, check_address\n"
        "def why_not_bound(host, port):\n"
        "    try:\n"
        "        check_address(host, port)\n"
        "    except BindError as error:\n"
        "        return error\n"
        "for host in ('127.0.0.1', '[::]', '192.0.2.1', 'nowhere.invalid', 'a' * 70):\n"
        "    print(why_not_bound(host, 0))\n"
        "def bind(self, address):\n"
        "    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))\n"
        "socket.socket.bind = bind\n"
        "print(why_not_bound('[::]', 443))\n"
    )
    one, every, absent, unknown, too_long, denied = probe_project.python("-c", code).stdout.splitlines()
    assert (one, every) == ("None", "None")
    assert absent.startswith("Cannot assign requested address; set HOST to an address of this machine")
    assert unknown.endswith("; set HOST to an address of this machine, or to [::] for all of them")
    assert too_long.endswith("; set HOST to an address of this machine, or to [::] for all of them")
    assert denied.startswith("Permission denied; ports below 1024 need the capability NET_BIND_SERVICE; set PORT")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_signal_while_loading_ends_the_process(
    probe: Probe, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with starting(probe, MODEL_PATH=str(probe.artifact("slow", tmp_path))) as server:
        server.told.wait(lambda line: line == {"loading": "slow"})
        server.process.send_signal(number)
        assert server.ended() == code
        assert ("interrupted by SIGINT while starting" in server.messages("CRITICAL")) == (number == signal.SIGINT)


def test_a_model_that_refuses_its_sample_request_does_not_start(probe: Probe, tmp_path: Path) -> None:
    model = MODEL.replace("tell(batch=", "raise RequestRefused('NOT_FOUND', 'no such point')\n        tell(batch=")
    code, server = end_of(probe.with_model(model, tmp_path / "project"))
    assert code == 1
    assert server.messages("CRITICAL") == (
        "the warm-up request of v1.Predict failed: no such point "
        "(NOT_FOUND; `example` in schema.yaml chooses the values of this request)"
    )


def test_a_library_that_interrupts_the_process_during_an_import_is_a_failed_start(probe: Probe, tmp_path: Path) -> None:
    """As OpenBLAS does when it gets no thread."""
    project = probe.with_model(MODEL, tmp_path / "project")
    contract = project.path / "src" / "probe" / "contract" / "__init__.py"
    contract.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n", encoding="utf-8")
    code, server = end_of(project)
    assert code == 1
    assert "OpenBLAS" in server.messages("CRITICAL")


def test_the_source_that_is_there_is_the_source_that_runs(probe_project: Probe, tmp_path: Path) -> None:
    """An image has bytecode; what replaces model.py in it may have the same size and time."""
    project = probe_project.with_model("VERSION = 1\n", tmp_path / "project")
    model = project.path / "src" / "probe" / "model.py"
    for command in re.findall(r"python (-m compileall .*?)(?: \\| \|\|)", DOCKERFILE):
        project.python(*command.replace("/venv/lib", "src").split())
    before = model.stat()
    model.write_text("VERSION = 2\n", encoding="utf-8")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    shown = project.python("-c", "import probe.model as m; print(m.VERSION, m.__cached__)").stdout
    assert shown.startswith("2 ")
    assert Path(shown.split()[1]).exists()


def test_a_signal_before_anything_is_imported_ends_the_process(probe: Probe) -> None:
    """As PID 1 of a container Python has no handler of its own, and would go on until it is killed."""
    with starting(probe) as server:
        server.terminate()
        assert server.ended() in (0, -signal.SIGTERM)


def test_a_stop_answers_what_is_in_flight_and_what_still_comes(probe: Probe) -> None:
    with serving(probe, LAME_DUCK_SECONDS="0.5") as server:
        stream, held = server.count(5, "wait"), server.predict_soon(1)
        assert next(stream).index == 0
        states = server.watch()
        assert next(states) == SERVING
        server.terminate()
        assert next(states) == NOT_SERVING
        late = server.predict_soon(3)  # a balancer that has not asked for health yet
        server.release()
        assert [reply.index for reply in stream] == [1, 2, 3, 4]
        assert (held.result().result, late.result().result) == (2, 6)
        assert server.ended() == 0
        assert server.messages("ERROR") == ""


def test_after_the_pause_new_requests_are_refused_and_old_ones_answered(probe: Probe) -> None:
    with serving(probe) as server:
        held = server.predict_soon(1, "wait")
        server.until_computing(1)
        server.terminate()
        while not server.refused(refused := server.predict_soon(2)):  # those before are queued behind the first
            pass
        assert refused.details() == "the server is stopping"
        assert server.health() == NOT_SERVING
        server.release()
        assert held.result().result == 2
        assert server.ended() == 0


@pytest.mark.parametrize("run", range(3))
def test_a_stop_under_load_loses_no_reply(probe: Probe, run: int) -> None:
    """Callers go on until they are refused: a call has its reply, or UNAVAILABLE before the model had the request."""
    with serving(probe, LAME_DUCK_SECONDS="0.2") as server:
        ends: list[grpc.RpcError] = []
        replies: list[float] = []

        def call_on(first: int) -> None:
            for number in range(first, 10**9, 16):
                value = float(number % 1000)
                try:
                    replies.append(server.predict(value).result - 2 * value)
                except grpc.RpcError as error:
                    ends.append(error)
                    return

        callers = [threading.Thread(target=call_on, args=(number,)) for number in range(16)]
        for caller in callers:
            caller.start()
        server.told.wait(lambda line: "batch" in line, count=50)
        server.terminate()
        assert server.ended() == 0
        for caller in callers:
            caller.join()
        assert len(replies) > 50
        assert set(replies) == {0.0}
        assert {error.code() for error in ends} == {grpc.StatusCode.UNAVAILABLE}
        assert server.messages("ERROR") == ""
        computed = [value for values in server.batches() for value in values]
        assert len(computed) == len(replies) + 1  # and the one of the warm-up


def test_an_impatient_interrupt_ends_the_process_at_once(probe: Probe) -> None:
    with serving(probe) as server:
        lost = server.predict_soon(1, "wait")
        server.until_computing(1)
        server.terminate()
        server.log.wait(lambda line: line["message"] == "stopping, with 1 requests in flight")
        server.terminate(signal.SIGINT)
        assert server.ended() == 1
        assert lost.exception().code() is grpc.StatusCode.UNAVAILABLE
        assert "interrupted while stopping" in server.messages("WARNING")


def test_sigterm_may_come_twice(probe: Probe) -> None:
    """timeout(1) signals its child and then the group, which the child is in: nothing may be lost by that."""
    with serving(probe, LAME_DUCK_SECONDS="0.2") as server:
        kept = server.predict_soon(1, "wait")
        server.until_computing(1)
        server.terminate()
        server.terminate()
        server.log.wait(lambda line: line["message"] == "stopping, with 1 requests in flight")
        server.terminate()
        server.release()
        assert server.ended() == 0
        assert kept.result()


def test_a_model_that_hangs_does_not_keep_the_process(probe: Probe) -> None:
    with serving(probe, DRAIN_SECONDS="1") as server:
        lost = server.predict_soon(1, "wait")
        server.until_computing(1)
        server.terminate()
        assert lost.exception().code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert server.ended() == 1
        assert "requests without a reply after DRAIN_SECONDS: 1" in server.messages("ERROR")


def test_a_model_that_hangs_for_nobody_loses_nothing(probe: Probe) -> None:
    with serving(probe) as server:
        gone = server.predict_soon(1, "wait")
        server.until_computing(1)
        gone.cancel()
        server.log.wait(lambda line: line["message"].startswith("serving"))
        error_of(lambda: server.method("Predict")(server.request(-1)))
        server.terminate()
        assert server.ended() == 0
        assert "the model is still computing" in server.messages("WARNING")


def test_a_server_whose_model_thread_broke_does_not_look_alive(probe: Probe) -> None:
    with serving(probe) as server:
        assert server.predict(1, "break").result == 2
        call = server.predict_soon(2)  # for which the thread takes its next turn; without a name it would be cancelled
        assert server.ended() == 1
        assert call.exception() is not None
        assert "the model's thread broke: TypeError" in server.messages("WARNING")


@pytest.mark.slow
def test_it_serves_and_stops_on_uvloop_where_that_is_installed(probe: Probe, tmp_path: Path) -> None:
    source = f"{MODEL}\n\nimport sys\n\ntell(uvloop='uvloop' in sys.modules)\n"
    project = probe.with_model(source, tmp_path / "project")
    project.python("-m", "pip", "install", "--quiet", "--no-deps", "--target", "src", "uvloop>=0.22")
    with serving(project, LAME_DUCK_SECONDS="0.5") as server:
        server.told.wait(lambda line: line == {"uvloop": True})
        stream, held = server.count(5, "wait"), server.predict_soon(1)
        assert next(stream).index == 0
        server.terminate()
        server.log.wait(lambda line: line["message"].startswith("stopping"))
        server.release()
        assert [reply.index for reply in stream] == [1, 2, 3, 4]
        assert held.result().result == 2
        assert server.ended() == 0
    with starting(project, MODEL_PATH=str(probe.artifact("slow", tmp_path))) as server:
        server.told.wait(lambda line: line == {"loading": "slow"})
        server.terminate()
        assert server.ended() == 0
