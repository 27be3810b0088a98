# The demo shop: one image for the site, the workers and the set-up.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /srv

COPY pyproject.toml README.md LICENSE ./
COPY django_toosimple_q django_toosimple_q
RUN pip install --no-cache-dir ".[postgresql]"

COPY demo demo
RUN useradd --system shop
USER shop

EXPOSE 8000
# Exec form: signals reach Python itself, not a shell that keeps them.
CMD ["python", "demo/manage.py", "runserver", "--noreload", "0.0.0.0:8000"]
