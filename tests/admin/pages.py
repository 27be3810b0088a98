"""What the tests of the admin share: users, addresses, and reading pages."""

from django.contrib.auth.models import Permission, User
from django.test import TestCase
from django.urls import reverse

from tests.support import isolate_registries

MARKUP = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


class AdminTestCase(TestCase):
    """A superuser is logged in; tasks and schedules defined by a test vanish with it."""

    def setUp(self):
        isolate_registries(self)
        self.admin = User.objects.create_superuser("admin", password="admin")
        self.client.force_login(self.admin)

    def log_in_with(self, *codenames):
        """Log in somebody who has these permissions and no others."""
        user = User.objects.create_user("someone", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        self.client.force_login(user)
        return user

    def list_page(self, model, **query):
        return self.client.get(list_url(model), query)

    def row_page(self, row):
        return self.client.get(row_url(row))

    def act(self, action, *rows, **more):
        """Post an action on rows of one model, as its list does."""
        form = {"action": action, "index": "0", "_selected_action": [row.pk for row in rows]}
        return self.client.post(list_url(type(rows[0])), {**form, **more}, follow=True)


def list_url(model):
    return reverse(f"admin:toosimpleq_{model._meta.model_name}_changelist")


def row_url(row, view="change"):
    return reverse(f"admin:toosimpleq_{row._meta.model_name}_{view}", args=[row.pk])


def messages_of(response):
    return [str(message) for message in response.context["messages"]]
