"""Each user of the sandbox example has a pod alone, and no pod ever has a second user."""

import logging
import random
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml
from pykube.objects import Pod, ReplicaSet

from sandbox.conftest import Sandboxes
from sandbox.pods import EXAMPLE
from sandbox.users import Answer, User
from support.independent_client import PodLink
from support.rbac import GROUP
from support.scale import scaled
from support.service import condition_of
from support.waiting import eventually

#: Users who come and go while pods are added and removed.
USERS = scaled(12, 50)
FREE_LINKS = 2

log = logging.getLogger(__name__)

SHOW_FILES = "cat * 2> /dev/null; echo {uid} > {uid}"


def in_parallel(users: list[User], work: Callable[[User], Answer]) -> list[Answer]:
    """Lets all users do something at the same time."""
    with ThreadPoolExecutor(len(users)) as pool:
        return list(pool.map(work, users))


def link_of(user: User) -> str:
    """Returns the name of a user's link."""
    return f"sandbox.{user.uid}"


def free_pods(sandboxes: Sandboxes) -> list[str]:
    """Returns the Ready pods without a link."""
    service = sandboxes.service
    taken = {link["spec"].get("podName") for link in service.links()}
    pods = service.client.all(Pod, service.namespace)
    return [pod["metadata"]["name"] for pod in pods if is_ready(pod) and pod["metadata"]["name"] not in taken]


def is_ready(pod: dict[str, Any]) -> bool:
    """Returns whether a pod is Ready and not being deleted."""
    return condition_of(pod).get("status") == "True" and "deletionTimestamp" not in pod["metadata"]


def owners(sandboxes: Sandboxes) -> list[str]:
    """Returns the users of the pods that run."""
    return [pod.owner for pod in sandboxes.pods.running() if pod.owner]


def phase(sandboxes: Sandboxes, pod: str) -> str:
    """Returns the phase of a pod; empty if it does not exist."""
    service = sandboxes.service
    return str(service.client.get(Pod, pod, service.namespace)["status"]["phase"]) if service.exists(Pod, pod) else ""


def end_all(sandboxes: Sandboxes) -> None:
    """Removes all links, and waits until the service is at zero."""
    service = sandboxes.service
    for link in service.links():
        service.client.delete(PodLink, link["metadata"]["name"], service.namespace)
    eventually(lambda: not sandboxes.pods.running(), "no pod runs", seconds=120)


def test_users_who_arrive_at_once_at_zero_each_get_a_pod_of_their_own(sandboxes: Sandboxes) -> None:
    service = sandboxes.service
    assert service.client.get(ReplicaSet, service.name, service.namespace)["spec"]["replicas"] == 0
    users = [sandboxes.user() for _ in range(8)]
    answers = in_parallel(users, lambda user: user.run(f"echo {user.uid} > name; cat *"))
    assert [(each.status, each.text) for each in answers] == [(200, f"{user.uid}\n") for user in users]
    assert len({each.pod for each in answers}) == len(users)

    eventually(lambda: len(free_pods(sandboxes)) == FREE_LINKS, "the next users need not wait for a pod")
    existing = {pod["metadata"]["name"] for pod in service.client.all(Pod, service.namespace)}
    assert sandboxes.user().run("true").pod in existing
    eventually(lambda: len(free_pods(sandboxes)) == FREE_LINKS, "there is another warm pod")

    # Users who come back find their files, in their own pods.
    again = in_parallel(users, lambda user: user.run("cat *"))
    assert again == answers
    end_all(sandboxes)


def test_the_next_user_gets_a_pod_without_the_files_of_the_last_one(sandboxes: Sandboxes) -> None:
    user = sandboxes.user()
    first = user.run("echo secret > file; cat file")
    assert first.text == "secret\n"
    workspace = sandboxes.pods.named(first.pod).folder / "workspace"
    assert (workspace / "file").exists()

    assert user.end().status == 204
    assert not sandboxes.service.exists(PodLink, link_of(user))
    eventually(lambda: phase(sandboxes, first.pod) == "Succeeded", "the pod has ended")
    assert not workspace.exists()
    others = [sandboxes.user() for _ in range(4)]
    answers = in_parallel(others, lambda other: other.run("ls"))
    assert {each.text for each in answers} == {""}
    assert first.pod not in {each.pod for each in answers}
    # So does the same user, whose session is over.
    second = user.run("ls")
    assert (second.status, second.text) == (200, "")
    assert second.pod != first.pod
    end_all(sandboxes)


def test_a_pod_whose_link_has_expired_is_not_given_to_the_next_user(sandboxes: Sandboxes) -> None:
    service, user, other = sandboxes.service, sandboxes.user(), sandboxes.user()
    first = user.run("echo secret > file")
    server = sandboxes.pods.named(first.pod).server
    assert server is not None
    server.send_signal(signal.SIGSTOP)  # it does not see that the link has expired
    service.client.delete(PodLink, link_of(user), service.namespace)
    service.link(other.uid, podName=first.pod)  # as a caller does who sees a pod with room
    service.await_bound(link_of(other))
    server.send_signal(signal.SIGCONT)
    answer = other.run("ls")
    assert (answer.status, answer.text) == (200, "")
    assert answer.pod != first.pod
    assert other.unavailable
    eventually(lambda: phase(sandboxes, first.pod) == "Succeeded", "the pod has ended")
    end_all(sandboxes)


def test_a_second_user_of_a_pod_is_sent_to_another_one(sandboxes: Sandboxes) -> None:
    service, user, other = sandboxes.service, sandboxes.user(), sandboxes.user()
    first = user.run("echo secret > file")
    service.link(other.uid, podName=first.pod)  # two callers may choose a pod at the same moment
    answer = other.run("ls")
    assert (answer.status, answer.text) == (200, "")
    assert answer.pod != first.pod
    again = user.run("cat file")
    assert (again.text, again.pod) == ("secret\n", first.pod)
    # A gateway whose cache is old sends a request of another user to the pod.
    stale = other.try_once(address=sandboxes.pods.named(first.pod).address)
    assert stale.status == 503
    end_all(sandboxes)


def test_a_session_whose_server_was_killed_is_over(sandboxes: Sandboxes) -> None:
    user = sandboxes.user()
    first = user.run("echo secret > file")
    server = sandboxes.pods.named(first.pod).server
    assert server is not None
    server.kill()
    eventually(lambda: phase(sandboxes, first.pod) == "Failed", "the pod has failed")
    second = user.run("ls")
    assert (second.status, second.text) == (200, "")
    assert second.pod != first.pod
    end_all(sandboxes)


def test_users_who_come_and_go_while_pods_scale_never_share_a_pod(sandboxes: Sandboxes) -> None:
    """Two resolvers and the operator choose pods at the same time, so that two users may be sent to one pod."""
    seed = random.Random(1)
    users = [sandboxes.user(resolver=number % 2) for number in range(USERS)]
    leaving = {user.uid for user in users if seed.random() < 0.5}

    def stay(user: User) -> Answer:
        answers = [user.run(SHOW_FILES.format(uid=user.uid)), user.run("cat *")]
        if user.uid in leaving:
            answers.append(user.end())
            answers.append(user.run(SHOW_FILES.format(uid=user.uid)))
        assert [each.status for each in answers if each.status not in {200, 204}] == []
        assert [each.text for each in answers] == ["", f"{user.uid}\n", "", ""][: len(answers)]
        assert answers[0].pod == answers[1].pod
        return answers[-1]

    last = in_parallel(users, stay)
    assert len({each.pod for each in last}) == len(users)
    once_each = Counter(user.uid for user in users)
    eventually(lambda: Counter(owners(sandboxes)) == once_each, "each user has one pod, and those that they left end")
    sandboxes.service.await_condition("LossSuspended", "False")
    refused = sum(user.unavailable for user in users)
    log.info("%s users, %s of them twice; %s requests were sent again", USERS, len(leaving), refused)
    end_all(sandboxes)


def test_ended_pods_are_deleted_by_the_rights_of_the_example(sandboxes: Sandboxes) -> None:
    service, user = sandboxes.service, sandboxes.user()
    kept = sandboxes.user().run("true").pod
    ended = user.run("true").pod
    user.end()
    eventually(lambda: phase(sandboxes, ended) == "Succeeded", "the pod has ended")
    manifests = yaml.safe_load_all((EXAMPLE / "cleanup.yaml").read_text(encoding="utf-8"))
    (job,) = (each for each in manifests if each["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    account = f"--as=system:serviceaccount:{service.namespace}:cleanup"
    service.kubectl.run(*container["args"], account).expect_success()
    eventually(lambda: not service.exists(Pod, ended), "the ended pod is deleted")
    assert phase(sandboxes, kept) == "Running"
    assert service.kubectl.run("auth", "can-i", "delete", f"rolebindings.{GROUP}", account).stdout.strip() == "no"
    end_all(sandboxes)
