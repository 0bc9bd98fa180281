"""What is looked up: each answer, and each reason why there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, quote_uid, run_resolver
from resolver.stub_service import NAMED_PORT, PORT, StubService, in_thread
from support.independent_client import PodLink, StatefulRoute

ODD_UIDS = ["Guest 7", "GÜNTHER", "日本語", "x-ray", "x-47756573742037", "a_b", "a/b", "a%b", "..", "?", "UPPER", "a+b"]
ODD_UIDS += ["{a}", "a{b", "*"]


async def test_a_link_is_told_with_all_that_it_takes_to_connect(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "alice", 2)
    reply = await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda each: each.status == 200, "alice is known"
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
    }
    assert reply.headers["Content-Type"] == "application/json"
    await in_thread(stub_service.patch_link_status, "alice", 2, "game-2.game.play.svc")
    reply = await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda each: each.json["host"], "its host is known"
    )
    assert reply.json["host"] == "game-2.game.play.svc"


async def test_a_temporary_link_tells_its_end_and_is_absent_from_then_on(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=597)
    await in_thread(stub_service.link, "bob", 1, ttlSeconds=600, renewTime=renewed.isoformat())
    path = f"{stub_service.path}/links/bob"
    reply = await resolver.wait_for_reply(path, lambda each: each.status == 200, "bob is known")
    ends = renewed + timedelta(seconds=600)
    assert datetime.fromisoformat(reply.json["expireTime"]) == ends
    await resolver.wait_for_reply(path, lambda each: each.status == 404, "bob's time is over")
    assert datetime.now(UTC) >= ends
    assert await in_thread(stub_service.stored_pods) == {"bob": 1}  # nobody has deleted it


@pytest.mark.parametrize("uid", ODD_UIDS)
async def test_any_uid_is_found(resolver: RunningResolver, stub_service: StubService, uid: str) -> None:
    await in_thread(stub_service.link, uid, 1)
    path = f"{stub_service.path}/links/{quote_uid(uid)}"
    reply = await resolver.wait_for_reply(path, lambda each: each.status == 200, f"{uid} is known")
    assert (reply.json["uid"], reply.json["podIndex"]) == (uid, 1)


async def test_who_is_not_linked_is_told_so(resolver: RunningResolver, stub_service: StubService) -> None:
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
    ("uid", "sentence"),
    [("a" * 190, "uid is too long"), ("Ä" * 47, "uid is too long"), ("a\nb", "uid must not hold control characters")],
    ids=["too long", "too long when encoded", "control characters"],
)
async def test_a_uid_that_no_link_can_have_is_refused(
    resolver: RunningResolver, stub_service: StubService, uid: str, sentence: str
) -> None:
    for reply in (
        await resolver.http.get(f"{stub_service.path}/links/{quote_uid(uid)}"),
        await resolver.http.get(f"{stub_service.path}/links/{quote_uid(uid)}?consistency=strong"),
        await resolver.http.post(f"{stub_service.path}/links/{quote_uid(uid)}"),
    ):
        status, kind, detail = reply.problem
        assert (status, kind) == (400, "invalid-parameter")
        assert detail.startswith(sentence)


async def test_bytes_that_are_no_text_are_not_taken_for_another_uid(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "%FF", 1)
    path = f"{stub_service.path}/links"
    await resolver.wait_for_reply(f"{path}/%25FF", lambda each: each.status == 200, "it is known")
    for method in ("GET", "POST"):
        reply = await resolver.http.request(method, f"{path}/%FF")
        assert reply.problem == (400, "invalid-parameter", "uid must be percent-encoded UTF-8")
    assert (await in_thread(stub_service.stored_pods)).keys() == {"%FF"}


async def test_a_uid_of_markup_is_data_wherever_it_is_answered(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    uid = "<script>alert(1)</script>"
    path, gateway = f"{stub_service.path}/links/{quote_uid(uid)}", {"x-user-id": uid}
    absent = await resolver.http.get(path)
    assert absent.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    assert uid in absent.problem[2]
    await in_thread(stub_service.link, uid, 1)
    found = await resolver.wait_for_reply(path, lambda each: each.status == 200, "it is known")
    assert found.headers["Content-Type"].partition(";")[0] == "application/json"
    passed = await resolver.http.get(stub_service.ext_authz_path, headers=gateway)
    assert (passed.status, passed.body) == (200, b"")
    assert uid not in str(dict(passed.headers))


async def test_a_pod_that_cannot_be_reached_is_told_with_when_to_ask_again(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    for uid in ("alice", "bob", "carol"):
        await in_thread(stub_service.link, uid, {"alice": 0, "bob": 1, "carol": 9}[uid])
    await in_thread(stub_service.link, "dave", None)
    links = f"{stub_service.path}/links"
    await resolver.wait_for_reply(f"{links}/dave", lambda each: each.status == 503, "all are known")
    expected = {
        "carol": ("pod-not-found", "the service 'game' has no pod 9 now"),
        "dave": ("waits-for-pod", "the uid is linked, but its link waits for a pod"),
    }
    for uid, (kind, detail) in expected.items():
        reply = await resolver.http.get(f"{links}/{uid}")
        assert reply.problem == (503, kind, detail)
        assert reply.headers["Retry-After"] == "1"

    await in_thread(stub_service.patch_pod_status, 0, ready=False)
    reply = await resolver.wait_for_reply(f"{links}/alice", lambda each: each.status == 503, "it is not ready")
    assert reply.problem[1:] == ("pod-not-routable", "the pod 'game-0' of the service 'game' does not serve users now")
    await in_thread(stub_service.independent_client.delete, Pod, "game-0", stub_service.namespace)
    reply = await resolver.wait_for_reply(
        f"{links}/alice", lambda each: "is not there" in each.problem[2], "it is gone"
    )
    assert reply.problem[1:] == ("pod-not-found", "the pod 'game-0' of the service 'game' is not there now")

    stub_service.pods[1]["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route_status)
    await resolver.wait_for_reply(stub_service.path, lambda each: "DenyNewCall" in str(each.json), "it is draining")
    assert (await resolver.http.get(f"{links}/bob")).json["podName"] == "game-1"  # it keeps its users
    stub_service.pods[1]["routingState"] = "Shutdown"
    await in_thread(stub_service.patch_route_status)
    reply = await resolver.wait_for_reply(f"{links}/bob", lambda each: each.status == 503, "it is shut down")
    assert reply.problem[1] == "pod-not-routable"


async def test_a_pod_that_comes_back_is_told_with_its_new_address(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    await in_thread(stub_service.independent_client.delete, Pod, "game-0", stub_service.namespace)
    await resolver.wait_for_reply(path, lambda each: each.status == 503, "the pod is gone")
    await in_thread(stub_service.create_pod, 0)
    await in_thread(stub_service.patch_pod_status, 0, ip="10.9.1.77")
    await resolver.wait_for_reply(
        path, lambda each: each.status == 200 and each.json["ip"] == "10.9.1.77", "it is told where it is now"
    )


async def test_an_answer_that_is_known_is_not_sent_again(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    first = await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = await resolver.http.get(path, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert "Age" in again.headers
    assert (await resolver.http.get(path, headers={"If-None-Match": '"other"'})).status == 200
    await in_thread(stub_service.move, "alice", 1)
    moved = await resolver.wait_for_reply(
        path, lambda each: each.status == 200, "alice has moved", headers={"If-None-Match": tag}
    )
    assert (moved.json["podIndex"], moved.headers["ETag"] == tag) == (1, False)


def ignore(_: object) -> None:
    """What a watch that is cut off does."""


async def test_the_api_server_is_asked_where_that_is_wanted(cluster: LocalCluster, stub_service: StubService) -> None:
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,)) as resolver:
        links = resolver.parts.cache.links.cache
        # A resolver whose watch tells it nothing any more.
        await in_thread(stub_service.link, "alice", 0)
        await resolver.wait_for_reply(
            f"{stub_service.path}/links/alice", lambda each: each.status == 200, "alice is known"
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


async def test_a_path_cannot_lead_to_another_object_of_the_api_server(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    for odd in ("..%2F..%2F..%2Fapi%2Fv1%2Fnodes", "%2E%2E", "play%3Fx=1", "Game", "a.b"):
        for path in (
            f"/v1/namespaces/{odd}/routes/game/links/a",
            f"/v1/namespaces/{stub_service.namespace}/routes/{odd}/links/a",
        ):
            assert (await resolver.http.get(f"{path}?consistency=strong")).status == 404
            assert (await resolver.http.post(path)).status == 404


async def test_many_are_looked_up_at_once(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    await in_thread(stub_service.link, "Bob B", 1)
    await in_thread(stub_service.link, "carol", 9)
    batch = f"{stub_service.path}/links:batchGet"
    await resolver.wait_for_reply(f"{stub_service.path}/links/carol", lambda each: each.status == 503, "all are known")
    asked = ["alice", "Bob B", "carol", "nobody", "alice", "x" * 200]
    told = (await resolver.http.post(batch, {"uids": asked})).json
    assert {uid: link["podIndex"] for uid, link in told["links"].items()} == {"alice": 0, "Bob B": 1}
    assert {uid: (each["status"], each["type"].rpartition(":")[2]) for uid, each in told["problems"].items()} == {
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
async def test_a_body_that_cannot_be_right_is_refused(
    resolver: RunningResolver, stub_service: StubService, body: bytes, status: int, kind: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await resolver.http.request("POST", f"{stub_service.path}/links:batchGet", data=body, headers=headers)
    assert reply.problem[:2] == (status, kind)


async def test_a_body_that_is_not_packed_as_it_says_is_refused(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = await resolver.http.request(
        "POST", f"{stub_service.path}/links:batchGet", data=b'{"uids": []}', headers=headers
    )
    assert reply.problem[:2] == (400, "malformed")


async def test_a_body_that_says_not_that_it_is_json_is_refused(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    reply = await resolver.http.request(
        "POST", f"{stub_service.path}/links/alice", data=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert reply.problem == (415, "not-json", "send the body as application/json")


async def test_a_service_is_told_with_its_pods_and_the_next_one(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    stub_service.pods[0]["links"] = 5
    stub_service.pods[2]["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route_status, links=5)
    reply = await resolver.wait_for_reply(
        stub_service.path, lambda each: each.json["links"] == 5, "the status is known"
    )
    told = reply.json
    assert told["bestPod"] == "game-1"
    assert (told["routingState"], told["workloadState"], told["isReady"]) == ("Ready", "Normal", True)
    assert told["pods"][2] == {
        "name": "game-2",
        "index": 2,
        "serviceState": "Ready",
        "routingState": "DenyNewCall",
        "links": 0,
        "address": stub_service.endpoint(2),
    }
    assert (await resolver.http.get(stub_service.path, headers={"If-None-Match": reply.headers["ETag"]})).status == 304
    for pod in stub_service.pods.values():
        pod["routingState"] = "Shutdown"
    await in_thread(stub_service.patch_route_status, routingState="Shutdown", workloadState="Shutdown")
    reply = await resolver.wait_for_reply(
        stub_service.path, lambda each: each.json["routingState"] == "Shutdown", "it is shut down"
    )
    assert (reply.json["bestPod"], reply.json["isReady"]) == (None, False)
    assert [pod["address"] for pod in reply.json["pods"]] == [None] * 3


async def test_a_port_that_has_a_name_is_looked_up_in_the_pod(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    await in_thread(
        stub_service.independent_client.patch, StatefulRoute, "game", stub_service.namespace, {"spec": {"port": "play"}}
    )
    await resolver.wait_for_reply(path, lambda each: each.json["port"] == NAMED_PORT, "the port is known")
    await in_thread(
        stub_service.independent_client.patch, StatefulRoute, "game", stub_service.namespace, {"spec": {"port": None}}
    )
    reply = await resolver.wait_for_reply(path, lambda each: each.json["port"] is None, "there is no port")
    assert reply.json["address"] == "10.9.0.1"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "no-such-path"),
        ("GET", "/v1/namespaces/a/routes/b/links/", 404, "no-such-path"),
        ("DELETE", "/v1/namespaces/a/routes/b/links/c", 405, "no-such-method"),
        ("PUT", "/v1/namespaces/a/routes/b", 405, "no-such-method"),
        ("GET", "/v1/namespaces/a/routes/b/links:batchGet", 405, "no-such-method"),
        ("GET", "/v1/namespaces/a/routes/b/links/c/d", 404, "no-such-path"),
        ("GET", "/v1/namespaces/a/routes/b/", 404, "no-such-path"),
        ("GET", "/authorize/a", 404, "no-such-path"),
    ],
)
async def test_what_is_not_answered_is_told_in_the_same_form(
    resolver: RunningResolver, method: str, path: str, status: int, kind: str
) -> None:
    reply = await resolver.http.request(method, path)
    assert reply.problem[:2] == (status, kind)
    assert ("Allow" in reply.headers) is (status == 405)


async def test_head_tells_what_get_would_without_its_body(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    for path in (f"{stub_service.path}/links/alice", stub_service.path, "/openapi.json"):
        whole = await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
        head = await resolver.http.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
        assert head.headers.get("ETag") == whole.headers.get("ETag")
    stream = await resolver.http.request("HEAD", f"{stub_service.path}/moves")
    assert (stream.status, stream.headers["Allow"]) == (405, "GET")


async def test_a_path_may_be_written_in_any_way_that_means_the_same(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    for plain, quoted in (("game", "g%61me"), ("alice", "%61lice"), ("/links/", "/link%73/")):
        same = path.replace(plain, quoted)
        assert (await resolver.http.get(same)).json["uid"] == "alice"
    batch = await resolver.http.post(f"{stub_service.path}/links%3AbatchGet", {"uids": ["alice"]})
    assert batch.json["links"].keys() == {"alice"}


async def test_a_body_is_asked_for_where_that_is_waited_for(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    reply = await resolver.http.post(f"{stub_service.path}/links:batchGet", {"uids": ["alice"]}, expect100=True)
    assert reply.status == 200
    other = await resolver.http.post(f"{stub_service.path}/links:batchGet", {"uids": []}, headers={"Expect": "a cake"})
    assert other.problem == (400, "malformed", "Expect must be 100-continue")


async def test_an_answer_says_how_old_it_may_be(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    reply = await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    assert int(reply.headers["Age"]) < 60
    for reflector in resolver.parts.cache.reflectors:
        reflector.last_update_at -= 1000
    assert int((await resolver.http.get(path)).headers["Age"]) >= 1000
    assert int((await resolver.http.get(stub_service.path)).headers["Age"]) >= 1000
    nobody = await resolver.http.get(f"{stub_service.path}/links/nobody")
    assert (nobody.status, int(nobody.headers["Age"]) >= 1000) == (404, True), "not to be linked is an answer, too"
    fresh = await resolver.http.get(f"{stub_service.path}/links/nobody?consistency=strong")
    assert (fresh.status, fresh.headers["Age"]) == (404, "0")
    await in_thread(stub_service.move, "alice", 1)
    await resolver.wait_for_reply(path, lambda each: each.json["podIndex"] == 1, "alice has moved")
    # The oldest of what the answer is made of counts.
    assert int((await resolver.http.get(path)).headers["Age"]) >= 1000


async def test_a_link_that_binds_nothing_is_none(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda each: each.status == 200, "alice is known")
    await in_thread(stub_service.independent_client.delete, PodLink, "game.alice", stub_service.namespace)
    await resolver.wait_for_reply(path, lambda each: each.status == 404, "alice is released")
