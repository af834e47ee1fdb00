"""``manage.py tk_analytics …``: the commands of ``tk-analytics``, for this project's settings."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.wsgi import get_wsgi_application
from django.db import connections

from tk_analytics_mw.cli.main import main
from tk_analytics_mw.cli.target import Target
from tk_analytics_mw.django.configured import parts


class Command(BaseCommand):
    """Hands its arguments on."""

    help = "Look after the analytics of this project: manage.py tk_analytics --help"
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from the command line. The options are click's, ``--help`` included."""
        django_own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for option in ("--settings", "--pythonpath"):  # manage.py has followed them, wherever they stand
            django_own.add_argument(option)
        arguments = django_own.parse_known_args(argv[2:])[1]
        try:
            main.main(arguments, prog_name=f"{argv[0]} {argv[1]}", obj=Target(parts, get_wsgi_application))
        finally:
            connections.close_all()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything, for ``call_command``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, arguments: list[str], **options: Any) -> None:
        """Run from ``call_command("tk_analytics", "deliver", "--once")``."""
        target = Target(parts, get_wsgi_application)
        out, err = options.get("stdout") or sys.stdout, options.get("stderr") or sys.stderr
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main.main(arguments, prog_name="tk_analytics", obj=target, standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message()) from error
