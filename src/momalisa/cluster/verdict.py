"""One answer to "what is my job doing?", made from facts: a pure function, so that every failure is a unit test.

What follows from the objects' own fields alone is told; what could not be looked at is named instead of guessed. The
order of the questions matters: a RayJob's status lags behind its pods, and `jobStatus: FAILED` may come before a retry.
"""

from momalisa.cluster import ended, ongoing
from momalisa.cluster.facts import JobFacts
from momalisa.cluster.pods import is_leaving
from momalisa.cluster.states import ExitCode as ExitCode
from momalisa.cluster.states import State as State
from momalisa.cluster.states import Verdict as Verdict
from momalisa.cluster.states import judged


def verdict(facts: JobFacts) -> Verdict:
    """The one answer."""
    if facts.job is None:
        return ended.without_job(facts)
    deployment = facts.job.get("status", {}).get("jobDeploymentStatus", "")
    if deployment == "ValidationFailed":  # KubeRay never looks at it again
        return ended.refused(facts)
    if deployment == "Complete":  # also after STOPPED
        return ended.complete(facts)
    if deployment == "Failed":
        return ended.failed(facts)
    if is_leaving(facts.job):
        return judged(facts, State.CANCELLED, "it is being deleted", exit_code=ExitCode.STOPPED)
    if deployment == "Retrying":
        return ongoing.retrying(facts)
    if deployment in {"Suspended", "Suspending"} or (facts.job["spec"].get("suspend") and not deployment):
        return ongoing.queued(facts)
    if deployment == "Running":
        return ongoing.running(facts)
    return ongoing.starting(facts)
