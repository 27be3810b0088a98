"""The task that sends queued mail, and the task by which 1.x did."""

from datetime import timedelta
from typing import Any

from django_toosimple_q.contrib.mail.connection import queueing_backend, sending_backend
from django_toosimple_q.contrib.mail.delivery import Delivery
from django_toosimple_q.contrib.mail.message import Plain, from_plain, identity, to_plain
from django_toosimple_q.contrib.mail.refusal import is_permanent
from django_toosimple_q.decorators import register_task
from django_toosimple_q.exceptions import Cancel, TaskInterrupted
from django_toosimple_q.moments import current_moment

# After half a minute, a minute, two, … then every hour, for a day. That covers an outage of the
# mail server that is noticed late, without sending mail when it no longer makes sense.
RETRIES = 30
RETRY_DELAY_SECONDS = 30
LONGEST_RETRY_DELAY_SECONDS = 3600


@register_task(
    name="django_toosimple_q.contrib.mail.send_messages",
    unique=True,
    unique_by=identity,
    retries=RETRIES,
    retry_delay=RETRY_DELAY_SECONDS,
    retry_delay_max=LONGEST_RETRY_DELAY_SECONDS,
)
def send_messages(messages: list[Plain], mailer: str | None = None) -> str:
    """Send the messages of one call of the mail backend and return a summary.

    A single message that fails is retried, unless the server refused it permanently. If there are
    several, each one that was not sent is queued as a call of its own, so that no message is
    sent again because another one failed.
    """
    delivery = Delivery.of(messages)
    try:
        delivery.run(sending_backend(mailer))
    except TaskInterrupted:
        if not delivery.sent:
            raise
        # A replacement of this call would send all messages again.
        rest = [delivery.unsent] if delivery.unsent else []
        queue_again(rest, mailer, delay_seconds=0)
        return report(delivery)
    if len(messages) == 1:
        for _, error in delivery.failed:
            give_up_if_permanent(error)
            raise error
    if delivery.unsent:
        one_by_one = [[message] for message in delivery.unsent]
        queue_again(one_by_one, mailer, delay_seconds=RETRY_DELAY_SECONDS)
    return report(delivery)


@register_task(
    name="django_toosimple_q.contrib.mail.tasks.send_email",
    retries=RETRIES,
    retry_delay=RETRY_DELAY_SECONDS,
    retry_delay_max=LONGEST_RETRY_DELAY_SECONDS,
)
def send_email(emails: list[Any]) -> str:
    """Pass the pickled messages of a row of django-toosimple-q 1.x to the current mail backend.

    A message that an older release of Django pickled may lack attributes, so it is rebuilt.
    """
    count = queueing_backend().send_messages([from_plain(to_plain(each)) for each in emails])
    return f"{count} of {len(emails)} passed on"


def queue_again(calls: list[list[Plain]], mailer: str | None, *, delay_seconds: float) -> None:
    """Queue calls of `send_messages` for the messages that were not sent."""
    due = current_moment() + timedelta(seconds=delay_seconds)
    send_messages.queue_many(
        [{"messages": messages, "mailer": mailer} for messages in calls], due=due
    )


def give_up_if_permanent(error: Exception) -> None:
    """Raise `Cancel` if another attempt would be refused as well."""
    if is_permanent(error):
        raise Cancel(f"permanently refused: {error}") from error


def report(delivery: Delivery) -> str:
    """Return a summary of a call, as a sentence."""
    unsent = delivery.unsent
    text = f"{delivery.sent} of {delivery.sent + len(unsent)} sent"
    if unsent:
        text += ", the others queued again"
    if delivery.failed:
        reasons = {f"{type(error).__name__}: {error}" for _, error in delivery.failed}
        text += f" after {'; '.join(sorted(reasons))}"
    return text
