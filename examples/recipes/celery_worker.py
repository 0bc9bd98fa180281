"""Tasks with Celery that are about the pod of a user. The worker forks its processes, and each opens its own driver.

pip install statefulroute celery
NAMESPACE=play SERVICE=game celery -A celery_worker worker --concurrency 2
"""

import os
from functools import cache

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from statefulroute import StatefulRouteError
from statefulroute.sync import ClientDriver

SERVICE = os.environ.get("SERVICE", "game")

app = Celery("celery_worker", broker=os.environ.get("BROKER_URL", "redis://"))
app.conf.worker_proc_alive_timeout = 30  # the worker kills a process that has not started within these seconds


@cache
def open_driver() -> ClientDriver:
    """Returns the driver of this process. The main process of the worker runs no task and never opens one."""
    driver = ClientDriver.connect(os.environ.get("NAMESPACE"), services=[SERVICE])
    driver.start()
    return driver


@worker_process_init.connect
def start_process(**_: object) -> None:
    """Opens the driver after the fork. If that fails, Celery logs it, and the first task tries again."""
    open_driver()


@worker_process_shutdown.connect
def end_process(**_: object) -> None:
    """Ends the watches before the process ends."""
    if open_driver.cache_info().currsize:
        open_driver().close()


@app.task(autoretry_for=(StatefulRouteError,), retry_backoff=True)
def endpoint_of(uid: str) -> tuple[int, str]:
    """Returns the process that has run the task, and where the user is served: a real task would send a request."""
    driver = open_driver()
    found = driver.address_of(uid, SERVICE) or driver.bind(uid, SERVICE)
    return os.getpid(), found.endpoint
