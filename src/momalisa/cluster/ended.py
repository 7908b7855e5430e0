"""Verdicts on jobs that are over, whether their RayJob still tells it or their run's folder alone."""

from momalisa.cluster.causes import why_failed
from momalisa.cluster.facts import JobFacts
from momalisa.cluster.gauges import attempts, exit_of, own_exit_code, status_of
from momalisa.cluster.states import ExitCode, State, Verdict, judged, troubled
from momalisa.cluster.troubles import Cause, shortened

_SIGNALLED = 128


def without_job(facts: JobFacts) -> Verdict:
    """After the RayJob was deleted: what the run's folder remembers."""
    gone = (
        f"there is no RayJob {facts.name} in namespace {facts.namespace}" if facts.namespace else "no cluster was asked"
    )
    record = exit_of(facts)
    if record is None:
        where = facts.run.uri if facts.run else "its run's folder, which is not known"
        return judged(
            facts,
            State.UNKNOWN,
            f"{gone}, and {where} does not tell how it ended",
            fix="is the namespace or context another one (--namespace, --context)? Or name the run's folder by its URI",
            exit_code=ExitCode.UNKNOWN,
        )
    said = (f"{record.ended_at:%Y-%m-%d %H:%M:%S} UTC: exit code {record.exit_code} (job/exit.json); {gone}",)
    if record.exit_code == 0:
        return _succeeded(facts, said)
    if record.exit_code == ExitCode.STOPPED:
        return _stopped(facts, said)
    if record.signalled is not None and record.exit_code > _SIGNALLED:
        return judged(
            facts,
            State.CANCELLED,
            f"it was ended from outside ({record.signalled}): its RayJob was deleted, or its cluster",
            fix=f"`momalisa jobs retry {facts.name}` goes on from its last checkpoint",
            evidence=said,
            exit_code=ExitCode.STOPPED,
        )
    trouble = why_failed(facts)
    code = ExitCode.WRONG_INPUT if trouble.cause is Cause.INPUT else ExitCode.FAILED
    return troubled(facts, State.FAILED, trouble, exit_code=code, evidence=said)


def refused(facts: JobFacts) -> Verdict:
    """Terminal: KubeRay never looks at it again."""
    message = status_of(facts, "message")
    return judged(
        facts,
        State.FAILED,
        f"KubeRay refuses the RayJob: {shortened(message, 240)}",
        fix="mend what it names and submit again",
        cause=Cause.VALIDATION,
        evidence=(f"rayjob {facts.name}: ValidationFailed: {shortened(message)}",),
        exit_code=ExitCode.WRONG_INPUT,
    )


def complete(facts: JobFacts) -> Verdict:
    job_status = status_of(facts, "jobStatus")
    said = (f"rayjob {facts.name}: Complete, jobStatus {job_status or 'unknown'}",)
    record = exit_of(facts)
    if record is not None and record.exit_code == ExitCode.STOPPED:
        return _stopped(facts, said)
    if job_status == "SUCCEEDED":
        return _succeeded(facts, said)
    if job_status == "STOPPED":
        return judged(
            facts,
            State.CANCELLED,
            "it was cancelled: Ray was told to stop the driver",
            fix=f"`momalisa jobs retry {facts.name}` goes on from its last checkpoint",
            evidence=said,
            exit_code=ExitCode.STOPPED,
        )
    return troubled(facts, State.FAILED, why_failed(facts), exit_code=ExitCode.FAILED, evidence=said)


def failed(facts: JobFacts) -> Verdict:
    trouble = why_failed(facts)
    reason = status_of(facts, "reason")
    said = (f"rayjob {facts.name}: Failed, {reason}",)
    record = exit_of(facts)
    if reason == "AppFailed" and (own_exit_code(facts) == ExitCode.STOPPED) and (record is None or not record.error):
        return _stopped(facts, said)
    code = {
        Cause.DEADLINE: ExitCode.DEADLINE,
        Cause.PRE_RUNNING_DEADLINE: ExitCode.DEADLINE,
        Cause.INPUT: ExitCode.WRONG_INPUT,
    }.get(trouble.cause, ExitCode.FAILED)
    if reason == "PreRunningDeadlineExceeded":
        code = ExitCode.DEADLINE
    return troubled(facts, State.FAILED, trouble, exit_code=code, evidence=said, details=attempts(facts))


def _succeeded(facts: JobFacts, said: tuple[str, ...]) -> Verdict:
    summary = facts.run.summary if facts.run else None
    details = []
    if summary:
        outcome = (summary.get("verdict") or {}).get("outcome")
        details.append(f"{summary['step']:,} steps, verdict of the training: {outcome or 'none'}")
        details += [f"{label}: {facts.run.uri}/{key}" for label, key in summary.get("paths", {}).items() if facts.run]
    elif facts.run:
        details.append(f"output: {facts.run.uri}")
    return judged(
        facts, State.SUCCEEDED, "it succeeded", details=tuple(details), evidence=said, exit_code=ExitCode.SUCCEEDED
    )


def _stopped(facts: JobFacts, said: tuple[str, ...]) -> Verdict:
    step = (facts.run.summary or {}).get("step") if facts.run else None
    return judged(
        facts,
        State.STOPPED,
        f"it was stopped on request{f' at step {step:,}' if step is not None else ''}, with a checkpoint",
        fix=f"`momalisa jobs retry {facts.name}` goes on from there",
        evidence=said,
        exit_code=ExitCode.STOPPED,
    )
