"""What is looked up: each answer, and each reason why there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from pykube.objects import Pod

from harness.witness import PodLink, StatefulRoute
from localcluster import LocalCluster
from resolver.place import NAMED_PORT, PORT, Place, in_thread
from resolver.running import Running, as_path, running

ODD_UIDS = ["Guest 7", "GÜNTHER", "日本語", "x-ray", "x-47756573742037", "a_b", "a/b", "a%b", "..", "?", "UPPER", "a+b"]
ODD_UIDS += ["{a}", "a{b", "*"]


async def test_a_link_is_told_with_all_that_it_takes_to_connect(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 2)
    reply = await resolver.answers(f"{place.path}/links/alice", lambda each: each.status == 200, "alice is known")
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
    await in_thread(place.acknowledge, "alice", 2, "game-2.game.play.svc")
    reply = await resolver.answers(f"{place.path}/links/alice", lambda each: each.json["host"], "its host is known")
    assert reply.json["host"] == "game-2.game.play.svc"


async def test_a_temporary_link_tells_its_end_and_is_absent_from_then_on(resolver: Running, place: Place) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=597)
    await in_thread(place.link, "bob", 1, ttlSeconds=600, renewTime=renewed.isoformat())
    path = f"{place.path}/links/bob"
    reply = await resolver.answers(path, lambda each: each.status == 200, "bob is known")
    ends = renewed + timedelta(seconds=600)
    assert datetime.fromisoformat(reply.json["expireTime"]) == ends
    await resolver.answers(path, lambda each: each.status == 404, "bob's time is over")
    assert datetime.now(UTC) >= ends
    assert await in_thread(place.stored) == {"bob": 1}  # nobody has deleted it


@pytest.mark.parametrize("uid", ODD_UIDS)
async def test_any_uid_is_found(resolver: Running, place: Place, uid: str) -> None:
    await in_thread(place.link, uid, 1)
    path = f"{place.path}/links/{as_path(uid)}"
    reply = await resolver.answers(path, lambda each: each.status == 200, f"{uid} is known")
    assert (reply.json["uid"], reply.json["podIndex"]) == (uid, 1)


async def test_who_is_not_linked_is_told_so(resolver: Running, place: Place) -> None:
    path = place.path
    assert (await resolver.asker.get(f"{path}/links/nobody")).problem == (
        404,
        "not-linked",
        "'nobody' is not linked in StatefulRoute 'game'",
    )
    elsewhere = path.replace("game", "chess")
    assert (await resolver.asker.get(f"{elsewhere}/links/nobody")).problem == (
        404,
        "route-not-found",
        f"there is no StatefulRoute 'chess' in namespace '{place.namespace}'",
    )
    assert (await resolver.asker.get("/v1/namespaces/kube-system/routes/game/links/nobody")).problem == (
        404,
        "namespace-not-served",
        "this resolver does not serve namespace 'kube-system': it was started with --watch-namespace",
    )


@pytest.mark.parametrize(
    ("uid", "sentence"),
    [("a" * 190, "uid is too long"), ("Ä" * 47, "uid is too long"), ("a\nb", "uid must not hold control characters")],
    ids=["too long", "too long when encoded", "control characters"],
)
async def test_a_uid_that_no_link_can_have_is_refused(resolver: Running, place: Place, uid: str, sentence: str) -> None:
    for reply in (
        await resolver.asker.get(f"{place.path}/links/{as_path(uid)}"),
        await resolver.asker.get(f"{place.path}/links/{as_path(uid)}?consistency=strong"),
        await resolver.asker.post(f"{place.path}/links/{as_path(uid)}"),
    ):
        status, kind, detail = reply.problem
        assert (status, kind) == (400, "invalid-parameter")
        assert detail.startswith(sentence)


async def test_bytes_that_are_no_text_are_not_taken_for_another_uid(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "%FF", 1)
    path = f"{place.path}/links"
    await resolver.answers(f"{path}/%25FF", lambda each: each.status == 200, "it is known")
    for method in ("GET", "POST"):
        reply = await resolver.asker.ask(method, f"{path}/%FF")
        assert reply.problem == (400, "invalid-parameter", "uid must be percent-encoded UTF-8")
    assert (await in_thread(place.stored)).keys() == {"%FF"}


async def test_a_uid_of_markup_is_data_wherever_it_is_answered(resolver: Running, place: Place) -> None:
    uid = "<script>alert(1)</script>"
    path, gateway = f"{place.path}/links/{as_path(uid)}", {"x-user-id": uid}
    absent = await resolver.asker.get(path)
    assert absent.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    assert uid in absent.problem[2]
    await in_thread(place.link, uid, 1)
    found = await resolver.answers(path, lambda each: each.status == 200, "it is known")
    assert found.headers["Content-Type"].partition(";")[0] == "application/json"
    passed = await resolver.asker.get(place.gateway, headers=gateway)
    assert (passed.status, passed.body) == (200, b"")
    assert uid not in str(dict(passed.headers))


async def test_a_pod_that_cannot_be_reached_is_told_with_when_to_ask_again(resolver: Running, place: Place) -> None:
    for uid in ("alice", "bob", "carol"):
        await in_thread(place.link, uid, {"alice": 0, "bob": 1, "carol": 9}[uid])
    await in_thread(place.link, "dave", None)
    links = f"{place.path}/links"
    await resolver.answers(f"{links}/dave", lambda each: each.status == 503, "all are known")
    expected = {
        "carol": ("pod-not-found", "the service 'game' has no pod 9 now"),
        "dave": ("waits-for-pod", "the uid is linked, and still waits for a pod"),
    }
    for uid, (kind, detail) in expected.items():
        reply = await resolver.asker.get(f"{links}/{uid}")
        assert reply.problem == (503, kind, detail)
        assert reply.headers["Retry-After"] == "1"

    await in_thread(place.set_pod, 0, ready=False)
    reply = await resolver.answers(f"{links}/alice", lambda each: each.status == 503, "it is not ready")
    assert reply.problem[1:] == ("pod-not-routable", "the pod 'game-0' of the service 'game' does not serve users now")
    await in_thread(place.witness.delete, Pod, "game-0", place.namespace)
    reply = await resolver.answers(f"{links}/alice", lambda each: "is not there" in each.problem[2], "it is gone")
    assert reply.problem[1:] == ("pod-not-found", "the pod 'game-0' of the service 'game' is not there now")

    place.pods[1]["routingState"] = "DenyNewCall"
    await in_thread(place.say)
    await resolver.answers(place.path, lambda each: "DenyNewCall" in str(each.json), "it is draining")
    assert (await resolver.asker.get(f"{links}/bob")).json["podName"] == "game-1"  # it keeps its users
    place.pods[1]["routingState"] = "Shutdown"
    await in_thread(place.say)
    reply = await resolver.answers(f"{links}/bob", lambda each: each.status == 503, "it is shut down")
    assert reply.problem[1] == "pod-not-routable"


async def test_a_pod_that_comes_back_is_told_with_its_new_address(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    await in_thread(place.witness.delete, Pod, "game-0", place.namespace)
    await resolver.answers(path, lambda each: each.status == 503, "the pod is gone")
    await in_thread(place.make_pod, 0)
    await in_thread(place.set_pod, 0, ip="10.9.1.77")
    await resolver.answers(
        path, lambda each: each.status == 200 and each.json["ip"] == "10.9.1.77", "it is told where it is now"
    )


async def test_an_answer_that_is_known_is_not_sent_again(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    first = await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = await resolver.asker.get(path, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert "Age" in again.headers
    assert (await resolver.asker.get(path, headers={"If-None-Match": '"other"'})).status == 200
    await in_thread(place.move, "alice", 1)
    moved = await resolver.answers(
        path, lambda each: each.status == 200, "alice has moved", headers={"If-None-Match": tag}
    )
    assert (moved.json["podIndex"], moved.headers["ETag"] == tag) == (1, False)


def ignore(_: object) -> None:
    """What a watch that is cut off does."""


async def test_the_api_server_is_asked_where_that_is_wanted(cluster: LocalCluster, place: Place) -> None:
    async with running(cluster.kubeconfig, namespaces=(place.namespace,)) as resolver:
        links = resolver.parts.directory.links.cache
        # A resolver whose watch tells it nothing any more.
        await in_thread(place.link, "alice", 0)
        await resolver.answers(f"{place.path}/links/alice", lambda each: each.status == 200, "alice is known")
        links.put = ignore  # type: ignore[method-assign]
        await in_thread(place.move, "alice", 1)
        assert (await resolver.asker.get(f"{place.path}/links/alice")).json["podIndex"] == 0
        strong = await resolver.asker.get(f"{place.path}/links/alice?consistency=strong")
        assert (strong.json["podIndex"], strong.headers["Age"]) == (1, "0")
        batch = {"uids": ["alice", "nobody"]}
        cached = (await resolver.asker.post(f"{place.path}/links:batchGet", batch)).json
        fresh = (await resolver.asker.post(f"{place.path}/links:batchGet?consistency=strong", batch)).json
        assert (cached["links"]["alice"]["podIndex"], fresh["links"]["alice"]["podIndex"]) == (0, 1)
        assert fresh["problems"]["nobody"]["status"] == 404
        assert (await resolver.asker.get(f"{place.path}/links/alice?consistency=maybe")).problem == (
            400,
            "invalid-parameter",
            "consistency must be one of cached, strong",
        )


async def test_a_path_cannot_lead_to_another_object_of_the_api_server(resolver: Running, place: Place) -> None:
    for odd in ("..%2F..%2F..%2Fapi%2Fv1%2Fnodes", "%2E%2E", "play%3Fx=1", "Game", "a.b"):
        for path in (
            f"/v1/namespaces/{odd}/routes/game/links/a",
            f"/v1/namespaces/{place.namespace}/routes/{odd}/links/a",
        ):
            assert (await resolver.asker.get(f"{path}?consistency=strong")).status == 404
            assert (await resolver.asker.post(path)).status == 404


async def test_many_are_looked_up_at_once(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    await in_thread(place.link, "Bob B", 1)
    await in_thread(place.link, "carol", 9)
    batch = f"{place.path}/links:batchGet"
    await resolver.answers(f"{place.path}/links/carol", lambda each: each.status == 503, "all are known")
    asked = ["alice", "Bob B", "carol", "nobody", "alice", "x" * 200]
    told = (await resolver.asker.post(batch, {"uids": asked})).json
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
    resolver: Running, place: Place, body: bytes, status: int, kind: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await resolver.asker.ask("POST", f"{place.path}/links:batchGet", data=body, headers=headers)
    assert reply.problem[:2] == (status, kind)


async def test_a_body_that_is_not_packed_as_it_says_is_refused(resolver: Running, place: Place) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = await resolver.asker.ask("POST", f"{place.path}/links:batchGet", data=b'{"uids": []}', headers=headers)
    assert reply.problem[:2] == (400, "malformed")


async def test_a_body_that_says_not_that_it_is_json_is_refused(resolver: Running, place: Place) -> None:
    reply = await resolver.asker.ask(
        "POST", f"{place.path}/links/alice", data=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert reply.problem == (415, "not-json", "send the body as application/json")


async def test_a_service_is_told_with_its_pods_and_the_next_one(resolver: Running, place: Place) -> None:
    place.pods[0]["links"] = 5
    place.pods[2]["routingState"] = "DenyNewCall"
    await in_thread(place.say, links=5)
    reply = await resolver.answers(place.path, lambda each: each.json["links"] == 5, "the status is known")
    told = reply.json
    assert told["bestPod"] == "game-1"
    assert (told["routingState"], told["workloadState"], told["isReady"]) == ("Ready", "Normal", True)
    assert told["pods"][2] == {
        "name": "game-2",
        "index": 2,
        "serviceState": "Ready",
        "routingState": "DenyNewCall",
        "links": 0,
        "address": place.endpoint(2),
    }
    assert (await resolver.asker.get(place.path, headers={"If-None-Match": reply.headers["ETag"]})).status == 304
    for pod in place.pods.values():
        pod["routingState"] = "Shutdown"
    await in_thread(place.say, routingState="Shutdown", workloadState="Shutdown")
    reply = await resolver.answers(place.path, lambda each: each.json["routingState"] == "Shutdown", "it is shut down")
    assert (reply.json["bestPod"], reply.json["isReady"]) == (None, False)
    assert [pod["address"] for pod in reply.json["pods"]] == [None] * 3


async def test_a_port_that_has_a_name_is_looked_up_in_the_pod(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    await in_thread(place.witness.patch, StatefulRoute, "game", place.namespace, {"spec": {"port": "play"}})
    await resolver.answers(path, lambda each: each.json["port"] == NAMED_PORT, "the port is known")
    await in_thread(place.witness.patch, StatefulRoute, "game", place.namespace, {"spec": {"port": None}})
    reply = await resolver.answers(path, lambda each: each.json["port"] is None, "there is no port")
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
    resolver: Running, method: str, path: str, status: int, kind: str
) -> None:
    reply = await resolver.asker.ask(method, path)
    assert reply.problem[:2] == (status, kind)
    assert ("Allow" in reply.headers) is (status == 405)


async def test_head_tells_what_get_would_without_its_body(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    for path in (f"{place.path}/links/alice", place.path, "/openapi.json"):
        whole = await resolver.answers(path, lambda each: each.status == 200, "alice is known")
        head = await resolver.asker.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
        assert head.headers.get("ETag") == whole.headers.get("ETag")
    stream = await resolver.asker.ask("HEAD", f"{place.path}/moves")
    assert (stream.status, stream.headers["Allow"]) == (405, "GET")


async def test_a_path_may_be_written_in_any_way_that_means_the_same(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    for plain, quoted in (("game", "g%61me"), ("alice", "%61lice"), ("/links/", "/link%73/")):
        same = path.replace(plain, quoted)
        assert (await resolver.asker.get(same)).json["uid"] == "alice"
    batch = await resolver.asker.post(f"{place.path}/links%3AbatchGet", {"uids": ["alice"]})
    assert batch.json["links"].keys() == {"alice"}


async def test_a_body_is_asked_for_where_that_is_waited_for(resolver: Running, place: Place) -> None:
    reply = await resolver.asker.post(f"{place.path}/links:batchGet", {"uids": ["alice"]}, expect100=True)
    assert reply.status == 200
    other = await resolver.asker.post(f"{place.path}/links:batchGet", {"uids": []}, headers={"Expect": "a cake"})
    assert other.problem == (400, "malformed", "Expect can only be 100-continue")


async def test_an_answer_says_how_old_it_may_be(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    reply = await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    assert int(reply.headers["Age"]) < 60
    for reflector in resolver.parts.directory.reflectors:
        reflector.heard_at -= 1000
    assert int((await resolver.asker.get(path)).headers["Age"]) >= 1000
    assert int((await resolver.asker.get(place.path)).headers["Age"]) >= 1000
    nobody = await resolver.asker.get(f"{place.path}/links/nobody")
    assert (nobody.status, int(nobody.headers["Age"]) >= 1000) == (404, True), "not to be linked is an answer, too"
    fresh = await resolver.asker.get(f"{place.path}/links/nobody?consistency=strong")
    assert (fresh.status, fresh.headers["Age"]) == (404, "0")
    await in_thread(place.move, "alice", 1)
    await resolver.answers(path, lambda each: each.json["podIndex"] == 1, "alice has moved")
    # The oldest of what the answer is made of counts.
    assert int((await resolver.asker.get(path)).headers["Age"]) >= 1000


async def test_a_link_that_binds_nothing_is_none(resolver: Running, place: Place) -> None:
    await in_thread(place.link, "alice", 0)
    path = f"{place.path}/links/alice"
    await resolver.answers(path, lambda each: each.status == 200, "alice is known")
    await in_thread(place.witness.delete, PodLink, "game.alice", place.namespace)
    await resolver.answers(path, lambda each: each.status == 404, "alice is released")
