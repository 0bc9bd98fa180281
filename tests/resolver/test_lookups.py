"""Tests look-ups: the response for each case, and each problem."""

from datetime import UTC, datetime, timedelta

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, quote_uid, run_resolver
from resolver.stub_service import NAMED_PORT, PORT, StubService, in_thread
from support.independent_client import PodLink, StatefulRoute

ENCODED_UIDS = [
    "Guest 7",
    "GÜNTHER",
    "日本語",
    "x-ray",
    "x-47756573742037",
    "a_b",
    "a/b",
    "a%b",
    "..",
    "?",
    "UPPER",
    "a+b",
]
ENCODED_UIDS += ["{a}", "a{b", "*"]


async def test_link_has_everything_to_connect(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    reply = await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is cached"
    )
    assert reply.json == {
        "uid": "alice",
        "podName": "game-2",
        "podIndex": 2,
        "address": f"10.9.0.3:{PORT}",
        "ip": "10.9.0.3",
        "port": PORT,
        "host": None,
        "expireTime": None,
        "boundBy": "Link",
        "slot": None,
    }
    assert reply.headers["Content-Type"] == "application/json"
    await in_thread(stub_service.patch_link_status, "alice", 2, "game-2.game.play.svc")
    reply = await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.json["host"], "its host is cached"
    )
    assert reply.json["host"] == "game-2.game.play.svc"


async def test_temporary_link_has_its_expiry_and_is_absent_after_it(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=597)
    await in_thread(stub_service.link, "bob", 1, ttlSeconds=600, renewTime=renewed.isoformat())
    path = f"{stub_service.path}/links/bob"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "bob is cached")
    expiry = renewed + timedelta(seconds=600)
    assert datetime.fromisoformat(reply.json["expireTime"]) == expiry
    await resolver.wait_for_reply(path, lambda reply: reply.status == 404, "bob's link has expired")
    assert datetime.now(UTC) >= expiry
    assert await in_thread(stub_service.stored_pods) == {"bob": 1}  # not deleted


@pytest.mark.parametrize("uid", ENCODED_UIDS)
async def test_finds_every_valid_uid(resolver: RunningResolver, stub_service: StubService, uid: str) -> None:
    await in_thread(stub_service.link, uid, 1)
    path = f"{stub_service.path}/links/{quote_uid(uid)}"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, f"{uid} is cached")
    assert (reply.json["uid"], reply.json["podIndex"]) == (uid, 1)


async def test_missing_link_or_route_is_reported(resolver: RunningResolver, stub_service: StubService) -> None:
    path = stub_service.path
    assert (await resolver.http.get(f"{path}/links/nobody")).problem == (
        404,
        "not-linked",
        "'nobody' is not linked in StatefulRoute 'game'",
    )
    elsewhere = path.replace("game", "chess")
    assert (await resolver.http.get(f"{elsewhere}/links/nobody")).problem == (
        404,
        "route-not-found",
        f"there is no StatefulRoute 'chess' in namespace '{stub_service.namespace}'",
    )
    assert (await resolver.http.get("/v1/namespaces/kube-system/routes/game/links/nobody")).problem == (
        404,
        "namespace-not-served",
        "this resolver does not serve namespace 'kube-system': it was started with --watch-namespace",
    )


@pytest.mark.parametrize(
    ("uid", "message"),
    [("a" * 190, "uid is too long"), ("Ä" * 47, "uid is too long"), ("a\nb", "uid must not hold control characters")],
    ids=["too long", "too long when encoded", "control characters"],
)
async def test_rejects_invalid_uid(
    resolver: RunningResolver, stub_service: StubService, uid: str, message: str
) -> None:
    for reply in (
        await resolver.http.get(f"{stub_service.path}/links/{quote_uid(uid)}"),
        await resolver.http.get(f"{stub_service.path}/links/{quote_uid(uid)}?consistency=strong"),
        await resolver.http.post(f"{stub_service.path}/links/{quote_uid(uid)}"),
    ):
        status, kind, detail = reply.problem
        assert (status, kind) == (400, "invalid-parameter")
        assert detail.startswith(message)


async def test_invalid_utf8_is_not_read_as_another_uid(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "%FF", 1)
    path = f"{stub_service.path}/links"
    await resolver.wait_for_reply(f"{path}/%25FF", lambda reply: reply.status == 200, "it is cached")
    for method in ("GET", "POST"):
        reply = await resolver.http.request(method, f"{path}/%FF")
        assert reply.problem == (400, "invalid-parameter", "uid must be percent-encoded UTF-8")
    assert (await in_thread(stub_service.stored_pods)).keys() == {"%FF"}


async def test_uid_with_markup_is_returned_as_data(resolver: RunningResolver, stub_service: StubService) -> None:
    uid = "<script>alert(1)</script>"
    path, gateway = f"{stub_service.path}/links/{quote_uid(uid)}", {"x-user-id": uid}
    absent = await resolver.http.get(path)
    assert absent.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    assert uid in absent.problem[2]
    await in_thread(stub_service.link, uid, 1)
    link = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "it is cached")
    assert link.headers["Content-Type"].partition(";")[0] == "application/json"
    passed = await resolver.http.get(stub_service.ext_authz_path, headers=gateway)
    assert (passed.status, passed.body) == (200, b"")
    assert uid not in str(dict(passed.headers))


async def test_unreachable_pod_is_reported_with_retry_after(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    for uid in ("alice", "bob", "carol"):
        await in_thread(stub_service.link, uid, {"alice": 0, "bob": 1, "carol": 9}[uid])
    await in_thread(stub_service.link, "dave", None)
    links = f"{stub_service.path}/links"
    await resolver.wait_for_reply(f"{links}/dave", lambda reply: reply.status == 503, "all are cached")
    expected = {
        "carol": ("pod-not-found", "the service 'game' has no pod 9 now"),
        "dave": ("waits-for-pod", "the uid is linked, but its link waits for a pod"),
    }
    for uid, (kind, detail) in expected.items():
        reply = await resolver.http.get(f"{links}/{uid}")
        assert reply.problem == (503, kind, detail)
        assert reply.headers["Retry-After"] == "1"

    await in_thread(stub_service.patch_pod_status, 0, ready=False)
    reply = await resolver.wait_for_reply(f"{links}/alice", lambda reply: reply.status == 503, "it is not ready")
    assert reply.problem[1:] == ("pod-not-routable", "the pod 'game-0' of the service 'game' does not serve users now")
    await in_thread(stub_service.independent_client.delete, Pod, "game-0", stub_service.namespace)
    reply = await resolver.wait_for_reply(
        f"{links}/alice", lambda reply: "is not there" in reply.problem[2], "it is gone"
    )
    assert reply.problem[1:] == ("pod-not-found", "the pod 'game-0' of the service 'game' is not there now")
    await in_thread(stub_service.create_pod, 0, started=False)
    reply = await resolver.wait_for_reply(
        f"{links}/alice", lambda reply: "is not there" not in reply.problem[2], "it is created"
    )
    assert reply.problem[1:] == (
        "pod-not-routable",
        "the pod 'game-0' of the service 'game' has not started: it has no IP address yet",
    )

    stub_service.pods[1]["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route_status)
    await resolver.wait_for_reply(stub_service.path, lambda reply: "DenyNewCall" in str(reply.json), "it is draining")
    assert (await resolver.http.get(f"{links}/bob")).json["podName"] == "game-1"  # a draining pod keeps its users
    stub_service.pods[1]["routingState"] = "Shutdown"
    await in_thread(stub_service.patch_route_status)
    reply = await resolver.wait_for_reply(f"{links}/bob", lambda reply: reply.status == 503, "it is shut down")
    assert reply.problem[1] == "pod-not-routable"


async def test_recreated_pod_has_its_new_address(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    await in_thread(stub_service.independent_client.delete, Pod, "game-0", stub_service.namespace)
    await resolver.wait_for_reply(path, lambda reply: reply.status == 503, "the pod is gone")
    await in_thread(stub_service.create_pod, 0)
    await in_thread(stub_service.patch_pod_status, 0, ip="10.9.1.77")
    await resolver.wait_for_reply(
        path, lambda reply: reply.status == 200 and reply.json["ip"] == "10.9.1.77", "it has its new address"
    )


async def test_unchanged_response_is_not_sent_again(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    first = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    tag = first.headers["ETag"]
    for client_tags in (tag, f'"other", {tag}', "*"):
        again = await resolver.http.get(path, headers={"If-None-Match": client_tags})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert "Age" in again.headers
    assert (await resolver.http.get(path, headers={"If-None-Match": '"other"'})).status == 200
    await in_thread(stub_service.move, "alice", 1)
    moved = await resolver.wait_for_reply(
        path, lambda reply: reply.status == 200, "alice has moved", headers={"If-None-Match": tag}
    )
    assert (moved.json["podIndex"], moved.headers["ETag"] == tag) == (1, False)


def ignore(_: object) -> None:
    """Drops an update, as a watch without a connection does."""


async def test_strong_consistency_reads_from_the_api_server(cluster: LocalCluster, stub_service: StubService) -> None:
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,)) as resolver:
        links = resolver.components.cache.links.cache
        # A resolver whose watch gets no more events.
        await in_thread(stub_service.link, "alice", 0)
        await resolver.wait_for_reply(
            f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is cached"
        )
        links.put = ignore  # type: ignore[method-assign]
        await in_thread(stub_service.move, "alice", 1)
        assert (await resolver.http.get(f"{stub_service.path}/links/alice")).json["podIndex"] == 0
        strong = await resolver.http.get(f"{stub_service.path}/links/alice?consistency=strong")
        assert (strong.json["podIndex"], strong.headers["Age"]) == (1, "0")
        batch = {"uids": ["alice", "nobody"]}
        cached = (await resolver.http.post(f"{stub_service.path}/links:batchGet", batch)).json
        fresh = (await resolver.http.post(f"{stub_service.path}/links:batchGet?consistency=strong", batch)).json
        assert (cached["links"]["alice"]["podIndex"], fresh["links"]["alice"]["podIndex"]) == (0, 1)
        assert fresh["problems"]["nobody"]["status"] == 404
        assert (await resolver.http.get(f"{stub_service.path}/links/alice?consistency=maybe")).problem == (
            400,
            "invalid-parameter",
            "consistency must be one of cached, strong",
        )


async def test_path_cannot_select_another_object_of_the_api_server(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    for name in ("..%2F..%2F..%2Fapi%2Fv1%2Fnodes", "%2E%2E", "play%3Fx=1", "Game", "a.b"):
        for path in (
            f"/v1/namespaces/{name}/routes/game/links/a",
            f"/v1/namespaces/{stub_service.namespace}/routes/{name}/links/a",
        ):
            assert (await resolver.http.get(f"{path}?consistency=strong")).status == 404
            assert (await resolver.http.post(path)).status == 404


async def test_looks_up_a_batch(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    await in_thread(stub_service.link, "Bob B", 1)
    await in_thread(stub_service.link, "carol", 9)
    batch = f"{stub_service.path}/links:batchGet"
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/carol", lambda reply: reply.status == 503, "all are cached"
    )
    batch_uids = ["alice", "Bob B", "carol", "nobody", "alice", "x" * 200]
    answer = (await resolver.http.post(batch, {"uids": batch_uids})).json
    assert {uid: link["podIndex"] for uid, link in answer["links"].items()} == {"alice": 0, "Bob B": 1}
    assert {
        uid: (problem["status"], problem["type"].rpartition(":")[2]) for uid, problem in answer["problems"].items()
    } == {
        "carol": (503, "pod-not-found"),
        "nobody": (404, "not-linked"),
        "x" * 200: (400, "invalid-parameter"),
    }


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b'{"uids": [7]}', 400, "malformed"),
        (b'{"uids": [], "other": 1}', 400, "malformed"),
        (b'{"uids": [' + b",".join([b'"u"'] * 1001) + b"]}", 400, "malformed"),
        (b'{"uids": ["' + b"u" * 300_000 + b'"]}', 413, "too-large"),
    ],
)
async def test_rejects_invalid_body(
    resolver: RunningResolver, stub_service: StubService, body: bytes, status: int, kind: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await resolver.http.request("POST", f"{stub_service.path}/links:batchGet", data=body, headers=headers)
    assert reply.problem[:2] == (status, kind)


async def test_rejects_body_with_the_wrong_content_encoding(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = await resolver.http.request(
        "POST", f"{stub_service.path}/links:batchGet", data=b'{"uids": []}', headers=headers
    )
    assert reply.problem[:2] == (400, "malformed")


async def test_rejects_body_without_the_json_content_type(resolver: RunningResolver, stub_service: StubService) -> None:
    reply = await resolver.http.request(
        "POST", f"{stub_service.path}/links/alice", data=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert reply.problem == (415, "not-json", "send the body as application/json")


async def test_route_has_its_pods_and_the_best_pod(resolver: RunningResolver, stub_service: StubService) -> None:
    stub_service.pods[0]["links"] = 5
    stub_service.pods[2]["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route_status, links=5)
    reply = await resolver.wait_for_reply(
        stub_service.path, lambda reply: reply.json["links"] == 5, "the status is cached"
    )
    route = reply.json
    assert route["bestPod"] == "game-1"
    assert (route["routingState"], route["workloadState"], route["isReady"]) == ("Ready", "Normal", True)
    assert route["pods"][2] == {
        "name": "game-2",
        "index": 2,
        "serviceState": "Ready",
        "routingState": "DenyNewCall",
        "links": 0,
        "slots": None,
        "address": stub_service.endpoint(2),
    }
    assert (await resolver.http.get(stub_service.path, headers={"If-None-Match": reply.headers["ETag"]})).status == 304
    for pod in stub_service.pods.values():
        pod["routingState"] = "Shutdown"
    await in_thread(stub_service.patch_route_status, routingState="Shutdown", workloadState="Shutdown")
    reply = await resolver.wait_for_reply(
        stub_service.path, lambda reply: reply.json["routingState"] == "Shutdown", "it is shut down"
    )
    assert (reply.json["bestPod"], reply.json["isReady"]) == (None, False)
    assert [pod["address"] for pod in reply.json["pods"]] == [None] * 3


async def test_named_port_is_looked_up_in_the_pod(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    await in_thread(
        stub_service.independent_client.patch, StatefulRoute, "game", stub_service.namespace, {"spec": {"port": "play"}}
    )
    await resolver.wait_for_reply(path, lambda reply: reply.json["port"] == NAMED_PORT, "the port is cached")
    await in_thread(
        stub_service.independent_client.patch, StatefulRoute, "game", stub_service.namespace, {"spec": {"port": None}}
    )
    reply = await resolver.wait_for_reply(path, lambda reply: reply.json["port"] is None, "there is no port")
    assert reply.json["address"] == "10.9.0.1"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "no-such-path"),
        ("GET", "/v1/namespaces/a/routes/b/links/", 404, "no-such-path"),
        ("PUT", "/v1/namespaces/a/routes/b/links/c", 405, "no-such-method"),
        ("PUT", "/v1/namespaces/a/routes/b", 405, "no-such-method"),
        ("GET", "/v1/namespaces/a/routes/b/links:batchGet", 405, "no-such-method"),
        ("GET", "/v1/namespaces/a/routes/b/links/c/d", 404, "no-such-path"),
        ("GET", "/v1/namespaces/a/routes/b/", 404, "no-such-path"),
        ("GET", "/authorize/a", 404, "no-such-path"),
    ],
)
async def test_unknown_paths_and_methods_get_problem_details(
    resolver: RunningResolver, method: str, path: str, status: int, kind: str
) -> None:
    reply = await resolver.http.request(method, path)
    assert reply.problem[:2] == (status, kind)
    assert ("Allow" in reply.headers) is (status == 405)


async def test_head_returns_the_headers_of_get(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    for path in (f"{stub_service.path}/links/alice", stub_service.path, "/openapi.json"):
        whole = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
        head = await resolver.http.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
        assert head.headers.get("ETag") == whole.headers.get("ETag")
    stream = await resolver.http.request("HEAD", f"{stub_service.path}/moves")
    assert (stream.status, stream.headers["Allow"]) == (405, "GET")


async def test_path_may_be_percent_encoded(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    for plain, quoted in (("game", "g%61me"), ("alice", "%61lice"), ("/links/", "/link%73/")):
        same = path.replace(plain, quoted)
        assert (await resolver.http.get(same)).json["uid"] == "alice"
    batch = await resolver.http.post(f"{stub_service.path}/links%3AbatchGet", {"uids": ["alice"]})
    assert batch.json["links"].keys() == {"alice"}


async def test_expect_header_gets_a_100_response(resolver: RunningResolver, stub_service: StubService) -> None:
    reply = await resolver.http.post(f"{stub_service.path}/links:batchGet", {"uids": ["alice"]}, expect100=True)
    assert reply.status == 200
    other = await resolver.http.post(f"{stub_service.path}/links:batchGet", {"uids": []}, headers={"Expect": "a cake"})
    assert other.problem == (400, "malformed", "Expect must be 100-continue")


async def test_response_has_its_age(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    assert int(reply.headers["Age"]) < 60
    for reflector in resolver.components.cache.reflectors:
        reflector.last_update_at -= 1000
    assert int((await resolver.http.get(path)).headers["Age"]) >= 1000
    assert int((await resolver.http.get(stub_service.path)).headers["Age"]) >= 1000
    absent = await resolver.http.get(f"{stub_service.path}/links/nobody")
    assert (absent.status, int(absent.headers["Age"]) >= 1000) == (404, True), "a 404 has its age, too"
    fresh = await resolver.http.get(f"{stub_service.path}/links/nobody?consistency=strong")
    assert (fresh.status, fresh.headers["Age"]) == (404, "0")
    await in_thread(stub_service.move, "alice", 1)
    await resolver.wait_for_reply(path, lambda reply: reply.json["podIndex"] == 1, "alice has moved")
    # The age is that of the least recently updated kind.
    assert int((await resolver.http.get(path)).headers["Age"]) >= 1000


async def test_link_that_binds_nothing_is_absent(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is cached")
    await in_thread(stub_service.independent_client.delete, PodLink, "game.alice", stub_service.namespace)
    await resolver.wait_for_reply(path, lambda reply: reply.status == 404, "alice is released")
